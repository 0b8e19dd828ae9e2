# Who got here may do anything on the host, or is the account itself.
ordinary() { :; }
allow() { :; }
allow_changes() { less=no; }
itself() { :; }
