# Reads one key file of an account.
# Parameters: account, path. read_file is what reads it.
guard 30
lookup
[ -n "$passwd" ] || result account_missing
allow "$path"
choose_drop
read_key_files "$path"
result done
