//! A script on a host that is held up on its way: a program that it calls stops it, with all that runs beside it, until it
//! is told to go on.
//!
//! Invariant: the program does what it always does, before and after; only calls under the uid that the stage names are
//! counted.

use keywright_kit::{TestHost, eventually};

use crate::LIMIT;

/// Where a script may be held up: before the so-manieth call of a program by the account's uid, or by root.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    pub name: &'static str,
    program: &'static str,
    call: u32,
    uid: &'static str,
}

const fn before(name: &'static str, program: &'static str, call: u32) -> Stage {
    Stage { name, program, call, uid: "account" }
}

/// Within `inspect.sh`, where it reads a key file.
pub const LOOK: Stage = before("the look at the file", "dd", 1);
/// Within `end_sessions.sh`, the first script of a revocation.
pub const END_SESSIONS: Stage = Stage { uid: "root", ..before("the end of sessions", "readlink", 1) };

/// In the order of `edit.sh`, from the first byte that it could change to the last.
pub const STAGES: [Stage; 7] = [
    before("the lock", "ln", 1),
    before("the group of the new file", "chgrp", 1),
    before("the flush", "sync", 1),
    before("the link", "ln", 2),
    before("the rename", "mv", 1),
    before("the second flush", "sync", 2),
    before("the end of the lock", "rm", 1),
];

/// `date` too: the clock of the lock goes on by hours for everybody but the script that is held.
const WRAPPED: [&str; 8] = ["ln", "rm", "chgrp", "sync", "mv", "date", "dd", "readlink"];

const IS_SCRIPT: &str = "[ \"$name\" != '(dropbear)' ]";

/// Of its own programs the wrapper uses none that is wrapped.
const WRAPPER: &str = r#"#!/bin/sh
name=${0##*/} left= me=account
if [ -s /tmp/held/at ]; then
  [ "$(/usr/bin/id -u)" != 0 ] || me=root
  read -r program left uid </tmp/held/at
  if [ "$program $uid" = "$name $me" ]; then
    left=$((left - 1))
    if [ "$left" -gt 0 ]; then
      echo "$name $left $uid" >/tmp/held/at
    else
      : >/tmp/held/at
      echo $$ >/tmp/held/pid
      kill -STOP $$
    fi
  fi
fi
if [ "$name" = date ] && [ "$*" = +%s ] && [ -e /tmp/held/hours ]; then
  echo $(($(/tmp/held/date +%s) + 7200))
  exit
fi
exec "/tmp/held/$name" "$@""#;

/// The programs of a host, each of which may be told to stop a script.
#[derive(Debug)]
pub struct HeldScript<'a> {
    host: &'a TestHost,
}

impl<'a> HeldScript<'a> {
    /// Where [`on`](Self::on) was called before.
    pub fn of(host: &'a TestHost) -> Self {
        Self { host }
    }

    /// Puts the wrappers in their places, for as long as the host is there.
    pub async fn on(host: &'a TestHost) -> Self {
        let script = format!(
            "set -e; mkdir -m 777 /tmp/held; cat >/tmp/held/wrapper; chmod 755 /tmp/held/wrapper
             : >/tmp/held/at; : >/tmp/held/pid; chmod 666 /tmp/held/at /tmp/held/pid
             for name in {}; do
               cp \"/usr/bin/$name\" /tmp/held/
             done
             for name in {}; do /usr/bin/mount --bind /tmp/held/wrapper \"/usr/bin/$name\"; done",
            WRAPPED.join(" "),
            WRAPPED.join(" ")
        );
        host.exec_with_input(&["sh", "-c", &script], WRAPPER.as_bytes()).await.success();
        Self::of(host)
    }

    /// The next script that comes there stops.
    pub async fn stops_at(&self, stage: Stage) {
        let Stage { program, call, uid, .. } = stage;
        let line = format!(": >/tmp/held/pid; echo '{program} {call} {uid}' >/tmp/held/at");
        self.sh(&line).await;
    }

    /// Waits until it has stopped, and stops what started it as well.
    pub async fn has_stopped(&self) {
        let stopped = eventually(LIMIT, async || {
            self.sh_ok("[ -s /tmp/held/pid ] && grep -q '^State:.*T' /proc/$(cat /tmp/held/pid)/status").await
        });
        assert!(stopped.await, "no script came there");
        // All of the command that the SSH server runs is one process group; with Dropbear its own process is in it too.
        self.sh("cut -d' ' -f5 /proc/$(cat /tmp/held/pid)/stat >/tmp/held/group").await;
        self.each_of_group(&format!("{IS_SCRIPT} && kill -s STOP $pid")).await;
    }

    /// For everybody but the script that is held.
    pub async fn hours_go_by(&self) {
        self.sh("touch /tmp/held/hours").await;
    }

    /// It goes on where it was; waits for its end.
    pub async fn goes_on(&self) {
        self.each_of_group(&format!("{IS_SCRIPT} && kill -s CONT $pid")).await;
        self.has_ended().await;
    }

    /// It dies where it is.
    pub async fn dies(&self) {
        self.each_of_group(&format!("{IS_SCRIPT} && kill -s KILL $pid")).await;
        self.has_ended().await;
    }

    /// Waits for its end, however it comes.
    pub async fn has_ended(&self) {
        let gone =
            async || self.each_of_group(&format!("{IS_SCRIPT} && [ \"$state\" != Z ] && exit 1")).await;
        assert!(eventually(LIMIT, gone).await, "the held script never ended");
    }

    /// A minute goes by for the lock that it has left: it is stale.
    pub async fn leaves_a_stale_lock(&self, account: &str) {
        let line = format!(
            "cd /home/{account}/.ssh; lock=.authorized_keys.keywright-lock; ! [ -L $lock ] || {{
               said=$(/tmp/held/readlink $lock); ln -sfn $((${{said%%.*}} - 100)).${{said#*.}} $lock; }}"
        );
        self.sh(&line).await;
    }

    /// Time is as it was.
    pub async fn is_over(&self) {
        self.sh("rm -f /tmp/held/hours; : >/tmp/held/at").await;
    }

    /// Does this for each process of the group, which has a `pid`, a `name` and a `state`; false if it ends the loop so.
    async fn each_of_group(&self, line: &str) -> bool {
        let script = format!(
            "group=$(cat /tmp/held/group)
             for stat in /proc/[0-9]*/stat; do
               read -r pid name state parent of rest 2>/dev/null <$stat || continue
               [ \"$of\" != \"$group\" ] || {{ {line}; }}
             done; exit 0"
        );
        self.sh_ok(&script).await
    }

    async fn sh(&self, line: &str) {
        self.host.exec(&["sh", "-c", line]).await.success();
    }

    async fn sh_ok(&self, line: &str) -> bool {
        self.host.exec(&["sh", "-c", line]).await.ok()
    }
}
