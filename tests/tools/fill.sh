# fill_folder FOLDER WHAT COMMAND...: fills a folder of the tools folder ($tools) by the command, whose last argument is a
# fresh folder; whole or not there at all. WHAT says which contents are wanted: those that are there already stay. Fails
# if the command does. Prints nothing of it: package tools name the registries of this machine.
fill_folder() {
  local folder=$tools/$1 what=$2 fresh
  shift 2
  if [ -e "$folder/.complete" ] && [ "$(cat "$folder/.complete")" = "$what" ]; then return 0; fi
  fresh=$(mktemp -d "$tools/.fresh.XXXXXX")
  if "$@" "$fresh" >/dev/null 2>&1 && echo "$what" >"$fresh/.complete"; then
    rm -rf -- "$folder" && mv -T "$fresh" "$folder"
  else
    rm -rf -- "$fresh"
    return 1
  fi
}

# python_packages SPECS FOLDER: with all that they need; run with PYTHONPATH.
python_packages() {
  local packages
  read -ra packages <<<"$1"
  python3 -m pip --disable-pip-version-check install --quiet --only-binary :all: --retries 5 --target "$2" "${packages[@]}"
}
