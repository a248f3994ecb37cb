#!/bin/sh
# slimpack self-extracting archive
# slimpack payload: @PAYLOAD@
#
# An environment in one file: this sh program, then a compressed tar. It needs sh,
# tar, @TOOL@ and the usual tools; sh this-file --help says more.

name=@NAME@
version=@VERSION@
fixed=@DEST@
compression=@COMPRESSION@
offset=@OFFSET@
size=@SIZE@
sha256=@SHA256@
members=@MEMBERS@
unpacked=@UNPACKED@

quiet=''
work=''
job=''
made=''

# A name such as -x.sh would be taken for options.
case $0 in
  -*) self=./$0 ;;
  *) self=$0 ;;
esac

say() { [ -n "$quiet" ] || printf "%s\n" "$1"; }

fail() {
  printf "%s: %s\n" "${0##*/}" "$1" >&2
  exit "${2:-1}"
}

usage() {
  printf "%s\n" "usage: sh ${0##*/} [-p DEST] [-f] [--extract-only] [--check] [--list] [-q]" \
    '' "Unpack the environment $name $version and make it ready for use." '' \
    "  -p, --prefix DEST  where to, instead of ${fixed:-./$name}" \
    '  -f, --force        replace the environment that is there' \
    '  --extract-only     leave the paths in its files as they were packed' \
    '  --check            only check that this file is whole' \
    '  --list             only list the files inside' \
    '  -q, --quiet        say nothing but errors' \
    '  --version          show the version' \
    '  -h, --help         show this text'
}

clean() {
  trap '' HUP INT TERM
  if [ -n "$job" ]; then kill "$job" 2>/dev/null && wait "$job" 2>/dev/null; fi
  if [ -n "$work" ]; then
    # Stopped between the two moves: what is to be replaced is all that there is.
    if [ -d "$work/old" ] && [ ! -e "$dest" ]; then mv "$work/old" "$dest"; fi
    rm -rf "$work"
  fi
  # Folders that were made for nothing. One that is not empty stays.
  while [ -n "$made" ] && [ "$parent" != "$above" ] && rmdir "$parent" 2>/dev/null; do
    parent=${parent%/*}
  done
}

# The payload as it is, and the tar inside.
payload() { tail -c +$((offset + 1)) "$self"; }
archive() {
  case $compression in
    gzip) payload | gzip -dc ;;
    zstd) payload | zstd -dc ;;
    none) payload ;;
  esac
}

need() { command -v "$1" >/dev/null 2>&1 || fail "$1 is needed to unpack this file; install it"; }

digest() {
  if command -v sha256sum >/dev/null 2>&1; then
    payload | sha256sum
  elif command -v shasum >/dev/null 2>&1; then
    payload | shasum -a 256
  elif command -v openssl >/dev/null 2>&1; then
    payload | openssl dgst -sha256 -r
  elif command -v busybox >/dev/null 2>&1 && busybox sha256sum </dev/null >/dev/null 2>&1; then
    payload | busybox sha256sum
  fi
}

check() {
  need tail
  there=$(($(wc -c <"$self")))
  whole=$((offset + size))
  [ "$there" -ge "$whole" ] || fail "truncated: $there of $whole bytes; get the file again"
  [ "$there" -eq "$whole" ] || fail "damaged: $there bytes instead of $whole; get the file again"
  found=$(digest)
  found=${found%% *}
  if [ -z "$found" ]; then
    printf "%s\n" "${0##*/}: no sha256sum, shasum or openssl here: only the size was checked" >&2
  elif [ "$found" != "$sha256" ]; then
    fail 'damaged: its SHA-256 is not what it should be; get the file again'
  fi
}

tools() {
  need tar
  case $compression in
    gzip | zstd) need "$compression" ;;
  esac
}

# Folder $1 must have room for all files, and a last block for each.
room() {
  required=$((unpacked / 1024 + members * 4))
  available=$(df -Pk "$1" 2>/dev/null | while read -r _ _ _ blocks _; do echo "$blocks"; done | tail -n 1)
  case $available in
    '' | *[!0-9]*) ;; # no such df, or a device whose name has spaces
    *)
      [ "$available" -ge "$required" ] ||
        fail "$1 has $((available / 1024)) MiB free; $((required / 1024)) MiB are needed" ;;
  esac
}

empty() { [ -z "$(ls -A "$1")" ]; }

# Sets dest to $1 without slashes at its end, and parent to the folder above.
place() {
  dest=$1
  while [ "${dest%/}" != "$dest" ]; do dest=${dest%/}; done
  case $dest in
    '' | . | .. | */. | */..) fail "'$1' is no name for an environment" 2 ;;
    *"
"*) fail 'the folder must be named on one line' 2 ;;
    /*) ;;
    *) dest=./$dest ;;
  esac
  parent=${dest%/*}/
}

# Makes both absolute; the folder above exists from now on.
settle() {
  above=${parent%/}
  until [ -d "$above/" ]; do above=${above%/*}; done
  above=$(CDPATH='' cd "$above/" && pwd) || exit 1
  # dash has no name for a folder that was removed, and no error either.
  case $above in
    /*) above=${above%/} ;;
    *) fail 'the current folder is gone' 2 ;;
  esac
  mkdir -p "$parent" || exit 1
  parent=$(CDPATH='' cd "$parent" && pwd) || exit 1
  case $parent in "$above"/*) made=yes ;; esac
  dest=${parent%/}/${dest##*/}
}

# Refuses a $dest that is in use, or that nobody would want to lose.
vacant() {
  if [ -h "$dest" ]; then fail "$dest is a link; name the folder itself" 2; fi
  if [ ! -e "$dest" ]; then return; fi
  if [ ! -d "$dest" ]; then fail "$dest is not a folder" 2; fi
  if empty "$dest"; then return; fi
  if [ -z "$force" ]; then fail "$dest is not empty; choose another folder, or --force" 2; fi
  if [ ! -d "$dest/conda-meta" ]; then
    fail "$dest is not empty and no environment; --force replaces environments only" 2
  fi
}

extract() {
  # In the background, because sh runs traps only between commands.
  archive | (cd "$work/env" && exec tar -xof -) &
  job=$!
  wait "$job" || fail "cannot unpack into $parent"
  job=''
}

quoted() { printf "%s" "$1" | sed "s/'/'\\\\''/g"; }

install() {
  if [ -n "$fixed" ] && [ -z "$extract_only" ]; then
    place "${prefix:-$fixed}"
    [ "$dest" = "$fixed" ] ||
      fail "this environment was packed for $fixed; --extract-only puts it elsewhere" 2
  fi
  place "${prefix:-${fixed:-$name}}"
  vacant
  tools
  check
  settle
  room "$parent"
  work=${parent%/}/.${dest##*/}.$$.tmp
  mkdir "$work" || { work=''; exit 1; }
  mkdir "$work/env" || exit 1
  say "unpacking $members files and folders"
  extract
  if [ -z "$extract_only" ] && [ -f "$work/env/bin/conda-unpack" ]; then
    sh "$work/env/bin/conda-unpack" --prefix "$dest" || fail 'the paths inside could not be written'
  fi
  vacant # still: unpacking took a while
  if [ -d "$dest" ]; then mv "$dest" "$work/old" || exit 1; fi
  mv "$work/env" "$dest" || exit 1
  say "$name is in $dest"
  if [ -f "$dest/bin/activate" ]; then say "activate it:  . '$(quoted "$dest")/bin/activate'"; fi
}

main() {
  prefix='' force='' extract_only='' action=install
  while [ $# -gt 0 ]; do
    case $1 in
      -p | --prefix)
        [ $# -ge 2 ] || fail "$1 needs a folder" 2
        prefix=$2
        [ -n "$prefix" ] || fail "$1 needs a folder" 2
        shift ;;
      --prefix=?*) prefix=${1#*=} ;;
      -f | --force) force=yes ;;
      --extract-only) extract_only=yes ;;
      --check) action=check ;;
      --list) action=list ;;
      -q | --quiet) quiet=yes ;;
      --version) action=version ;;
      -h | --help) usage; exit 0 ;;
      *) usage >&2; fail "unknown argument: $1" 2 ;;
    esac
    shift
  done
  if [ "$action" = version ]; then printf "%s %s\n" "$name" "$version"; exit 0; fi
  if [ ! -f "$self" ] || [ "$(head -n 2 "$self" | tail -n 1)" != '# slimpack self-extracting archive' ]; then
    printf "%s\n" "run this as a file (sh $name.sh), not through a pipe: it reads itself" >&2
    exit 2
  fi
  trap clean EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  case $action in
    check) check; say 'whole' ;;
    list) tools; check; archive | tar -tf - ;;
    install) install ;;
  esac
  exit
}

main "$@"
