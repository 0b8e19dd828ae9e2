//! An input that makes a target hang is shown, instead of a test that is killed without a word.

use keywright_fuzz::Target;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Far above what the caps allow, on a machine with a lot to do. This is no measure of speed.
const HANGS: Duration = Duration::from_secs(120);

/// Runs a whole batch under watch; `work` reports each input before it is read.
pub(crate) fn watch<T>(work: impl FnOnce(&dyn Fn(&[u8])) -> T) -> T {
    let (report, reports) = channel::<Vec<u8>>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut last = Vec::new();
            loop {
                match reports.recv_timeout(HANGS) {
                    Ok(bytes) => last = bytes,
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        println!("this input hangs: {}", data_encoding::BASE64.encode(&last));
                        std::process::exit(1);
                    }
                }
            }
        });
        let answer = work(&|bytes| {
            let _ = report.send(bytes.to_vec());
        });
        drop(report);
        answer
    })
}

pub(crate) fn watched(target: &Target, bytes: &[u8]) -> bool {
    watch(|report| {
        report(bytes);
        (target.run)(bytes)
    })
}
