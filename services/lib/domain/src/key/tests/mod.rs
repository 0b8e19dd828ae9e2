//! The judges are other people's tools: ssh-keygen, openssl and puttygen.

mod export;
mod hostile;
mod intake;
mod public;
mod signing;
mod tools;
