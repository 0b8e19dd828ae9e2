# Ansible's `raw`: every name is a host of its own, since a shared connection would be no login; its `ssh` has the key
# exchange that it prefers.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{
  for number in $(seq "$COUNT"); do echo "node$number"; done
  printf '[all:vars]\nansible_host=%s\nansible_port=%s\nansible_user=%s\nansible_ssh_private_key_file=%s\n' \
    "$HOST" "$PORT" "$ACCOUNT" "$KEY"
} >"$folder/inventory"
: >"$folder/ansible.cfg"
export HOME="$folder" ANSIBLE_CONFIG="$folder/ansible.cfg" ANSIBLE_NOCOWS=1 ANSIBLE_SSH_ARGS="-F none -o ControlMaster=no \
-o UserKnownHostsFile=$KNOWN -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes \
-o IdentityAgent=none"
echo ready
read -r go
python3 "$ANSIBLE" all -i "$folder/inventory" -f "$PARALLEL" -m raw -a true >"$folder/said" ||
  { cat "$folder/said" >&2; exit 1; }
echo done
