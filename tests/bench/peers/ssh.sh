# One `ssh` a login. KEX empty: what it prefers.
echo ready
read -r go
seq "$COUNT" | xargs -P "$PARALLEL" -I_N_ ssh -F none -T -p "$PORT" -i "$KEY" -o UserKnownHostsFile="$KNOWN" \
  -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes -o IdentityAgent=none \
  -o BatchMode=yes -o LogLevel=ERROR -o PreferredAuthentications=publickey ${KEX:+-o KexAlgorithms="$KEX"} \
  "$ACCOUNT@$HOST" "$COMMAND" >/dev/null && echo done
