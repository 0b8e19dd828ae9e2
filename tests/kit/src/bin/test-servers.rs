//! `test-servers`: one PostgreSQL and one OpenBao for a whole test run.
//!
//! Prints their addresses as `NAME=value` lines, then `ready`, and ends them when its input ends.
#![allow(clippy::print_stdout)]

use std::io::Read;

#[tokio::main]
async fn main() -> Result<(), keywright_kit::KitError> {
    let postgres = keywright_kit::postgres::server().await?;
    let (address, token) = keywright_kit::bao::server().await?;
    println!("{}={postgres}", keywright_kit::postgres::ADDRESS);
    println!("{}={address}", keywright_kit::bao::ADDRESS);
    println!("{}={token}", keywright_kit::bao::TOKEN);
    println!("ready");
    // Nothing is sent: the end of the input is the end of the test run, however it came.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}
