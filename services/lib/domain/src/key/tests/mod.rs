//! The judges are other people's tools: ssh-keygen, openssl and puttygen.

mod consistency;
mod export;
mod hostile;
mod intake;
mod public;
mod repair;
mod signing;
mod table;
mod tools;
