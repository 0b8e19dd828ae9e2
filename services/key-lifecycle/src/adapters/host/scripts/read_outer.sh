# Reads one key file of an account.
# Parameters: account, path. read_file is what reads it.
guard 30
lookup
[ -n "$passwd" ] || result account_missing
allow "$path"
choose_drop
case $home in *[[:cntrl:]\']*) result failed ;; esac
in_directory "${path%/*}" "F='$path' N=$account A=$uid G=$gid H='$home'
$read_file"
result done
