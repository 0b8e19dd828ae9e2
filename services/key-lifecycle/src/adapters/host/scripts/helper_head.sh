#!/bin/sh
# What Keywright does on a host where its account is not root: one program that a sudoers rule allows that account to
# run as root, without arguments. Install it with the rule beside it:
#
#   install -D -o root -g root -m 0755 keywright-host /usr/local/libexec/keywright-host
#   install -o root -g root -m 0440 keywright /etc/sudoers.d/keywright
#   visudo -c
#
# It reads the name of an operation and its parameters from standard input, judges each, and refuses everything else.
# It looks at accounts, their SSH key files and the SSH server's settings; it changes the key files of ordinary accounts
# (uid 1000 and above) and of the account that runs it; it makes accounts, and ends their SSH sessions; it replaces the
# list of revoked keys that the SSH server reads, where that is Keywright's. It adds no key to an account that may become
# root, unless root names it in /etc/keywright/privileged-accounts. It runs no text that it is given, and writes to no file
# that the SSH server does not read keys from.
#
# Made from Keywright's own scripts (services/key-lifecycle/src/adapters/host/scripts): not to be edited here.
