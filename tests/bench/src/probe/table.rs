//! What was measured in rounds, as it is printed.

use super::contest::Contestant;
use super::peers::{ASYNCSSH_COMMANDS, BY_ASYNCSSH, BY_PARALLEL_SSH, SAME, SAME_COMMANDS, USUAL};
use super::{Measured, Size};
use crate::figures::{cores, row};
use crate::round::{Round, against, each};

/// What others are put in a ratio to. A test of the fleet has each server run a script of facts, not only `true`.
const SIDES: [&str; 2] = ["Keywright's client", "Keywright, test of a fleet by REST, all checks"];

pub fn print(measured: &Measured, size: &Size) {
    logins(measured, size);
    targets(measured);
    latency(measured);
    sweep(measured, size);
}

fn logins(measured: &Measured, size: &Size) {
    println!(
        "\nlogin and `true`, {} in flight (medians of {} rounds, lowest to highest)",
        size.in_flight, size.rounds
    );
    println!("{:<48} {:<30}{:<30}{:<30}", "", "rate over own client's", "client CPU, ms", "server CPU, ms");
    let line = |name: &str, rounds: &[Round]| {
        let rate = against(&measured.own, rounds, |own, it| it.rate() / own.rate());
        println!(
            "{name:<48} {rate:<30}{:<30}{:<30}",
            each(rounds, Round::client_cpu),
            each(rounds, Round::host_cpu)
        );
    };
    line(SIDES[0], &measured.own);
    line(SIDES[1], &measured.product);
    for peer in &measured.peers {
        match peer.absent {
            None => line(peer.name, &peer.rounds),
            Some(why) => println!("{:<48} not compared: {why}", peer.name),
        }
    }
}

fn targets(measured: &Measured) {
    let cpu = [(SAME, "at most 0.25"), (USUAL, "at most 0.067")];
    let rate = [SAME, BY_ASYNCSSH, BY_PARALLEL_SSH].map(|name| (name, "above 1"));
    side(measured, SIDES[0], &measured.own, "at most 0.10", &cpu, &rate);
    let cpu = [(SAME, "at most 0.25"), (SAME_COMMANDS, "at most 0.25"), (USUAL, "at most 0.067")];
    let rate = [SAME_COMMANDS, ASYNCSSH_COMMANDS].map(|name| (name, "above 1"));
    let less = [SAME, BY_ASYNCSSH, BY_PARALLEL_SSH].map(|name| (name, "above 1, against `true` alone"));
    side(measured, SIDES[1], &measured.product, "at most 0.15", &cpu, &[&rate[..], &less].concat());
}

/// A name among the peers, and the target.
type Against = (&'static str, &'static str);

fn side(measured: &Measured, name: &str, own: &[Round], most: &str, cpu: &[Against], rate: &[Against]) {
    println!("\n{name}");
    let line = |name: &str, ratio: String, target: &str| println!("  {name:<56}{ratio}   (target {target})");
    line("own CPU over the server's", each(own, Round::client_over_host), most);
    let bound = each(own, |round| round.over_bound(cores()));
    line("rate over cores / (server CPU + own CPU)", bound, "at least 0.85");
    for (name, target) in cpu {
        if let Some(peer) = compared(measured, name) {
            let ratio = against(own, &peer.rounds, |own, it| own.client_cpu() / it.client_cpu());
            line(&format!("own CPU over {name}"), ratio, target);
        }
    }
    for (name, target) in rate {
        if let Some(peer) = compared(measured, name) {
            let ratio = against(own, &peer.rounds, |own, it| own.rate() / it.rate());
            line(&format!("rate over {name}"), ratio, target);
        }
    }
}

fn compared<'a>(measured: &'a Measured, name: &str) -> Option<&'a Contestant> {
    measured.peers.iter().find(|peer| peer.name == name && peer.absent.is_none())
}

fn latency(measured: &Measured) {
    println!("\nlatency, ms                                   p50      p90      p99      max");
    row("login and `true`, Keywright's client", &measured.own_single);
    row("login and `true`, ssh, same key exchange", &measured.ssh_single);
    let ratio = |at: f64| measured.own_single.percentile(at) / measured.ssh_single.percentile(at);
    println!(
        "own p50 over ssh's                            {:8.3}   (target at most 0.65, better 0.5)",
        ratio(50.0)
    );
    println!("own p99 over ssh's                            {:8.3}", ratio(99.0));
}

fn sweep(measured: &Measured, size: &Size) {
    println!("\nhost keys seen and verified, {} in flight", size.in_flight);
    let own = &measured.sweep;
    println!("own CPU of a handshake, ms                    {}", each(own, Round::client_cpu));
    println!("server CPU of a handshake, ms                 {}", each(own, Round::host_cpu));
    if let Some(why) = measured.keyscan.absent {
        println!("ssh-keyscan: not compared: {why}");
        return;
    }
    let keyscan = &measured.keyscan.rounds;
    println!("CPU of one by ssh-keyscan, ms                 {}", each(keyscan, Round::client_cpu));
    println!("server CPU of one by ssh-keyscan, ms          {}", each(keyscan, Round::host_cpu));
    let ratio = against(own, keyscan, |own, it| own.rate() / it.rate());
    println!("rate over ssh-keyscan's                       {ratio}   (target at least 8)");
}
