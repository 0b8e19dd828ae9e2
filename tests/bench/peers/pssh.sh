# The tool `pssh`, which starts an `ssh` a login, with the key exchange that `ssh` prefers.
list=$(mktemp)
trap 'rm -f "$list" "$list.said"' EXIT
for number in $(seq "$COUNT"); do echo "$HOST:$PORT"; done >"$list"
echo ready
read -r go
python3 "$PSSH" -h "$list" -l "$ACCOUNT" -p "$PARALLEL" -t 0 -x "-F none -i $KEY" -O UserKnownHostsFile="$KNOWN" \
  -O GlobalKnownHostsFile=/dev/null -O StrictHostKeyChecking=yes -O IdentitiesOnly=yes -O IdentityAgent=none \
  -O PreferredAuthentications=publickey true >"$list.said" 2>&1 || { cat "$list.said" >&2; exit 1; }
echo done
