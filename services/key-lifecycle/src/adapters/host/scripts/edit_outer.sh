# Edits one key file of an account.
# Parameters: account, path, and those of the edit. edit_file is what edits it.
guard 30
lookup
[ -n "$passwd" ] || result account_missing
allow_changes "$path"
choose_drop
# A home that is missing is not ours to make.
case $path in "$home"/*) [ -d "$home" ] || result owner ;; esac
changes=yes private=no
[ "$uid" != 0 ] || private=yes
in_directory "${path%/*}" "private=$private less=$less F='$path' sha=$sha md5=$md5 new_sha=$new_sha new_md5=$new_md5
tag=$tag rev=$rev overruled=$overruled token=$token
$edit_file"
finish
