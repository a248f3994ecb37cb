#!/bin/sh
# Loads the images of a bundle of slimpack into a container engine. It needs sh, tar and the
# usual tools, no slimpack and no Python; sh this-file --help says more.
set -eu

index=@INDEX@
signed_by=slimpack/bundle.json
delta=@DELTA@

work=''
job=''
root=''
source=''
volumes=''
quiet=''

# What the bundle holds, a line each: number of the image, what is said, value.
table() {
  cat <<'END OF TABLE'
@TABLE@
END OF TABLE
}

case $0 in
  -*) self=./$0 ;;
  *) self=$0 ;;
esac

say() { [ -n "$quiet" ] || printf '%s\n' "$1"; }
warn() { printf '%s: %s\n' "${0##*/}" "$1" >&2; }
fail() {
  warn "$1"
  exit "${2:-1}"
}

usage() {
  printf '%s\n' "usage: sh ${0##*/} [BUNDLE] [--engine docker|podman|ctr] [--image NAME]... " '' \
    'Check a bundle and load its images into a container engine.' '' \
    '  BUNDLE             the .tar, the list of its volumes (.volumes.json), or the folder that' \
    '                     it was unpacked to [default: the one that lies beside this file]' \
    '  --engine ENGINE    docker, podman or ctr [default: the first that answers]' \
    '  --namespace NAME   of containerd, for ctr [default: default; Kubernetes has k8s.io]' \
    '  --image NAME       only the image of that name; more than once for several' \
    '  --platform OS/ARCH which of several platforms [default: that of this machine]' \
    '  --key FILE         check the signature with this public key (openssl or cosign)' \
    '  --work FOLDER      where it is unpacked to [default: TMPDIR, else /var/tmp]' \
    '  --list             only say which images it holds' \
    '  --check            only check every file of it' \
    '  -q, --quiet        say nothing but errors' \
    '  -h, --help         show this text'
}

clean() {
  trap '' HUP INT TERM
  if [ -n "$job" ]; then
    kill "$job" 2>/dev/null || :
    wait "$job" 2>/dev/null || :
  fi
  if [ -n "$work" ]; then rm -rf "$work"; fi
}

# Waits for what was put into the background, because sh runs traps only between commands.
finish() {
  job=$!
  state=0
  wait "$job" || state=$?
  job=''
  return "$state"
}

have() { command -v "$1" >/dev/null 2>&1; }

# Prints the SHA-256 of the file $1.
digest() {
  case $hasher in
    sha256sum) found=$(sha256sum <"$1") ;;
    shasum) found=$(shasum -a 256 <"$1") ;;
    openssl) found=$(openssl dgst -sha256 -r <"$1") ;;
    busybox) found=$(busybox sha256sum <"$1") ;;
  esac
  printf '%s\n' "${found%% *}"
}

choose_hasher() {
  # Not the variable of the loop itself: yash makes that local.
  for name in sha256sum shasum openssl busybox; do
    have "$name" || continue
    hasher=$name
    [ "$name" = busybox ] || return 0
    busybox sha256sum </dev/null >/dev/null 2>&1 && return 0
  done
  fail 'sha256sum, shasum or openssl is needed to check the bundle; install one of them'
}

# Prints the values that the table has under the word $2 for the image number $1 (or any).
values() {
  table | while read -r number word value; do
    if [ "$word" = "$2" ] && { [ "$1" = any ] || [ "$number" = "$1" ]; }; then
      printf '%s\n' "$value"
    fi
  done
}

numbers() {
  table | while read -r number word _; do
    if [ "$word" = image ]; then printf '%s\n' "$number"; fi
  done
}

list() {
  for number in $(numbers); do
    names=$(values "$number" name | tr '\n' ' ')
    platforms=$(values "$number" platform | tr '\n' ' ')
    say "${names:-(no name) }$(values "$number" image)  ${platforms% }"
  done
}

# Prints what beside this file is a bundle.
beside() {
  folder=$(dirname "$self")
  if [ -f "$folder/SHA256SUMS" ] && [ -f "$folder/index.json" ]; then
    printf '%s\n' "$folder"
    return
  fi
  own=${self%.sh}.tar
  for place in "$own" "$own.volumes.json" "$folder"/*.tar.volumes.json "$folder"/*.slimpack.tar; do
    if [ -f "$place" ]; then
      printf '%s\n' "$place"
      return
    fi
  done
}

# Sets source to the bundle, volumes to their list, or root to the folder of one unpacked.
find_bundle() {
  given=${1:-$(beside)}
  [ -n "$given" ] || fail "no bundle lies beside this file; name it: sh ${0##*/} FILE" 2
  case $given in -*) given=./$given ;; esac
  if [ -d "$given" ]; then
    [ -f "$given/SHA256SUMS" ] || fail "$given is not an unpacked bundle: it has no SHA256SUMS" 2
    root=$(CDPATH='' cd "$given" && pwd)
  elif [ -f "$given" ]; then
    case $given in
      *.volumes.json) volumes=$given ;;
      *) source=$given ;;
    esac
  elif [ -f "$given.volumes.json" ]; then
    volumes=$given.volumes.json
  else
    fail "there is no bundle $given; name it: sh ${0##*/} FILE" 2
  fi
}

# Prints digest, size and name of each volume of the list, whose JSON has no spaces.
volume_lines() {
  { tr '{' '\n' <"$volumes" && echo; } | sed -n \
    's/^"digest":"sha256:\([0-9a-f]\{64\}\)","name":"\([^"\\/]*\)","size":\([0-9]*\)}.*$/\1 \3 \2/p'
}

check_volumes() {
  say 'checking the volumes'
  volume_lines >"$work/volumes"
  [ -s "$work/volumes" ] || fail "$volumes is not a list of volumes" 2
  bad=''
  while read -r want size name; do
    place=$(dirname "$volumes")/$name
    if [ ! -f "$place" ]; then
      warn "$name is missing"
      bad=yes
    elif [ "$(($(wc -c <"$place")))" -ne "$size" ]; then
      warn "$name has $(($(wc -c <"$place"))) bytes instead of $size"
      bad=yes
    elif [ "$(digest "$place")" != "$want" ]; then
      warn "$name is damaged: its SHA-256 is not what it should be"
      bad=yes
    fi
  done <"$work/volumes"
  [ -z "$bad" ] || fail 'bring these volumes again; the others can stay'
}

# Prints the volumes one behind the other.
joined_volumes() {
  while read -r _ _ name; do
    cat "$(dirname "$volumes")/$name" || : >"$work/broken"
  done <"$work/volumes"
}

make_work() {
  place=${work_in:-${TMPDIR:-/var/tmp}}
  [ -d "$place" ] || place=.
  work=$(mktemp -d "$place/slimpack.XXXXXX") || { work=''; fail "cannot write to $place; --work" 1; }
  work=$(CDPATH='' cd "$work" && pwd)
}

# Members are files with plain names, or nothing is unpacked.
check_members() {
  if [ -n "$volumes" ]; then
    joined_volumes | tar -tv -f - >"$work/members" || fail 'the bundle cannot be read; bring it again'
  else
    tar -tv -f "$source" >"$work/members" || fail 'the bundle cannot be read; bring it again'
  fi
  if grep -v '^[-d]' "$work/members" >/dev/null ||
    grep -e ' /' -e '[ /]\.\.\{0,1\}/' -e '[ /]\.\.\{0,1\}$' -e '//' "$work/members" >/dev/null; then
    fail 'the bundle holds links, or paths that lead out of it: it is not one of slimpack'
  fi
}

check_room() {
  if [ -n "$volumes" ]; then
    bytes=$(while read -r _ size _; do echo "$size"; done <"$work/volumes" | {
      sum=0
      while read -r size; do sum=$((sum + size)); done
      echo "$sum"
    })
  else
    bytes=$(($(wc -c <"$source")))
  fi
  free=$(df -Pk "$work" 2>/dev/null | while read -r _ _ _ blocks _; do echo "$blocks"; done | tail -n 1)
  case $free in
    '' | *[!0-9]*) ;; # no such df, or a device whose name has spaces
    *)
      [ "$free" -ge "$((bytes / 1024))" ] || fail \
        "${work%/*} has $((free / 1024)) MiB free, $((bytes / 1048576)) are needed; choose a folder with --work" ;;
  esac
}

unpack() {
  make_work
  if [ -n "$volumes" ]; then check_volumes; fi
  check_room
  check_members
  root=$work/bundle
  mkdir "$root"
  say 'unpacking'
  if [ -n "$volumes" ]; then
    joined_volumes | tar -x -o -C "$root" -f - &
  else
    tar -x -o -C "$root" -f "$source" &
  fi
  if ! finish || [ -e "$work/broken" ]; then fail 'the bundle cannot be unpacked; bring it again'; fi
}

check_signature() {
  signed=$root/$signed_by
  [ -f "$signed" ] && [ -f "$signed.sig" ] || fail 'the bundle is not signed'
  [ -f "$key" ] || fail "there is no key $key" 2
  if have openssl; then
    openssl base64 -d -A -in "$signed.sig" -out "$work/signature" 2>/dev/null ||
      fail 'the signature is damaged'
    openssl dgst -sha256 -verify "$key" -signature "$work/signature" "$signed" >/dev/null 2>&1 ||
      openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "$signed" \
        -sigfile "$work/signature" >/dev/null 2>&1 || # ed25519
      fail 'the signature is not one of that key for this bundle: do not use it'
  elif have cosign; then
    cosign verify-blob --insecure-ignore-tlog --key "$key" --signature "$signed.sig" "$signed" \
      >/dev/null 2>&1 || fail 'the signature is not one of that key for this bundle: do not use it'
  else
    fail 'openssl or cosign is needed to check the signature; install one of them'
  fi
  # The statement that is signed names the list of digests, which names everything else.
  grep -F "\"digest\":\"sha256:$(digest "$root/SHA256SUMS")\",\"kind\":\"text\",\"path\":\"SHA256SUMS\"" \
    "$signed" >/dev/null || fail 'SHA256SUMS is not the one that was signed: do not use this bundle'
  say 'the signature is right'
}

# Checks the files that are named on the lines of $1, or all of them.
check_files() {
  say 'checking digests'
  bad=''
  while IFS= read -r line; do
    want=${line%%  *}
    path=${line#*  }
    case $path in
      "$line" | /* | ../* | */../* | */.. | '') fail 'SHA256SUMS is malformed' ;;
    esac
    if [ -n "$1" ] && ! grep -Fx -e "$path" "$1" >/dev/null; then continue; fi
    if [ ! -f "$root/$path" ]; then
      warn "$path is missing"
      bad=yes
    elif [ "$(digest "$root/$path")" != "$want" ]; then
      warn "$path is damaged: its SHA-256 is not what it should be"
      bad=yes
    fi
    printf '%s\n' "$path" >>"$work/checked"
  done <"$root/SHA256SUMS"
  [ -z "$bad" ] || fail 'nothing was loaded; bring the bundle again'
}

# Refuses files that no digest stands for: busybox's tar makes names out of ../name.
check_nothing_else() {
  (cd "$root" && find . -type f) | while IFS= read -r path; do
    case ${path#./} in
      SHA256SUMS | "$signed_by" | "$signed_by.sig") continue ;;
    esac
    grep -Fx -e "${path#./}" "$work/checked" >/dev/null ||
      fail "SHA256SUMS does not name $path: it is not one of slimpack"
  done || exit 1
}

check_belongs() {
  grep -Fx "$index  index.json" "$root/SHA256SUMS" >/dev/null ||
    fail 'this script belongs to another bundle; take the install.sh that is inside it' 2
}

choose_engine() {
  case $engine in
    docker | podman | ctr)
      have "$engine" || fail "there is no $engine here" ;;
    '')
      for name in docker podman ctr; do
        engine=$name
        case $name in
          docker) if have docker && docker version >/dev/null 2>&1; then return; fi ;;
          podman) if have podman; then return; fi ;;
          ctr) if have ctr && ctr version >/dev/null 2>&1; then return; fi ;;
        esac
      done
      fail 'no docker, podman or ctr here that answers; choose one with --engine' ;;
    *) fail "--engine is docker, podman or ctr, not $engine" 2 ;;
  esac
}

this_platform() {
  case $(uname -m) in
    x86_64 | amd64) echo linux/amd64 ;;
    aarch64 | arm64) echo linux/arm64 ;;
    *) echo "linux/$(uname -m)" ;;
  esac
}

# Sets chosen to the numbers of the images to load; each has the platform.
choose_images() {
  chosen=''
  for number in $(numbers); do
    names=$(values "$number" name)
    if [ -n "$images" ]; then
      wanted=''
      for name in $names; do
        if printf '%s\n' "$images" | grep -Fx -e "$name" >/dev/null; then wanted=yes; fi
      done
      [ -n "$wanted" ] || continue
    fi
    if ! values "$number" platform | grep -Fx -e "$platform" >/dev/null; then
      fail "${names:-an image} is not there for $platform, only for $(values "$number" platform | tr '\n' ' ')" 2
    fi
    chosen="$chosen $number"
  done
  if [ -n "$images" ]; then
    printf '%s\n' "$images" | while read -r name; do
      values any name | grep -Fx -e "$name" >/dev/null || { warn "no image $name; --list tells which there are"; exit 1; }
    done || exit 2
  fi
  [ -n "$chosen" ] || fail 'the bundle holds no images' 2
}

# Writes lines as a JSON array's items.
joined() {
  comma=''
  while IFS= read -r line; do
    printf '%s%s' "$comma" "$line"
    comma=,
  done
}

# Lays out in $work/load what an engine is to read of the images $@.
stage() {
  rm -rf "$work/load"
  mkdir -p "$work/load/blobs/sha256"
  for number in "$@"; do values "$number" blob; done | sort -u >"$work/blobs"
  while read -r path; do ln -s "$root/$path" "$work/load/$path"; done <"$work/blobs"
  members=blobs
}

# Adds the index of an OCI layout. $1: its entries, a line each.
stage_oci() {
  cp "$root/oci-layout" "$work/load/oci-layout"
  {
    printf '{"manifests":['
    joined <"$1"
    printf '],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}'
  } >"$work/load/index.json"
  members="oci-layout index.json $members"
}

# Adds what makes it an archive of Docker.
stage_docker() {
  {
    printf '['
    for number in "$@"; do values "$number" "docker:$platform"; done | joined
    printf ']'
  } >"$work/load/manifest.json"
  members="manifest.json $members"
}

# Puts plain tars in the place of zstd layers: an image's id is that of its unpacked layers.
plain_layers() {
  have zstd || fail \
    "docker $version cannot read zstd layers; install the program zstd, take --engine podman or ctr, or a bundle of images built with --compression gzip"
  say "unpacking layers, because docker $version knows no zstd"
  for number in "$@"; do values "$number" zstd; done | sort -u >"$work/layers"
  while read -r path; do
    grep -Fx -e "$path" "$work/blobs" >/dev/null || continue
    rm "$work/load/$path"
    zstd -d -q -c "$root/$path" >"$work/load/$path" || fail "cannot unpack $path into $work"
  done <"$work/layers"
}

# Prints it as a tar. What fails on this side of a pipe would not be seen on the other.
stream() {
  # shellcheck disable=SC2086
  tar -c -h -f - -C "$work/load" $members || : >"$work/broken"
}

# Waits for an engine, which is called $1.
loaded() {
  finish || fail "$1 could not load the images"
  [ ! -e "$work/broken" ] || fail "the images could not be read; $1 did not get them whole"
}

load_docker() {
  stage "$@"
  version=$(docker version --format '{{.Server.Version}}' 2>/dev/null) || version=''
  case ${version%%.*} in
    [0-9] | 1[0-9] | 2[0-2])
      if [ -n "$(for number in "$@"; do values "$number" zstd; done)" ]; then plain_layers "$@"; fi ;;
    *)
      for number in "$@"; do values "$number" index; done >"$work/entries"
      stage_oci "$work/entries" ;;
  esac
  stage_docker "$@"
  stream | docker load &
  loaded docker
}

load_ctr() {
  stage "$@"
  for number in "$@"; do values "$number" index; done >"$work/entries"
  stage_oci "$work/entries"
  stream | ctr -n "$namespace" images import --platform "$platform" - &
  loaded ctr
}

# podman takes one image under one name from a file.
load_podman() {
  for number in "$@"; do
    values "$number" index >"$work/entries"
    while IFS= read -r entry <&3; do
      printf '%s\n' "$entry" >"$work/entry"
      stage "$number"
      stage_oci "$work/entry"
      stream | podman load &
      loaded podman
    done 3<"$work/entries"
  done
}

main() {
  engine='' namespace=default images='' platform='' key='' work_in='' action=load given=''
  while [ $# -gt 0 ]; do
    case $1 in
      --engine | --namespace | --image | --platform | --key | --work)
        [ $# -ge 2 ] && [ -n "$2" ] || fail "$1 needs a value" 2
        case $1 in
          --engine) engine=$2 ;;
          --namespace) namespace=$2 ;;
          --platform) platform=$2 ;;
          --key) key=$2 ;;
          --work) work_in=$2 ;;
          --image) images="$images${images:+
}$2" ;;
        esac
        shift ;;
      --list) action=list ;;
      --check) action=check ;;
      -q | --quiet) quiet=yes ;;
      -h | --help)
        usage
        exit 0 ;;
      -*)
        usage >&2
        fail "unknown argument: $1" 2 ;;
      *)
        [ -z "$given" ] || fail "one bundle, not $given and $1" 2
        given=$1 ;;
    esac
    shift
  done
  trap clean EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  if [ "$action" = list ]; then
    quiet=''
    list
    exit
  fi
  if [ "$action" = load ]; then
    [ -z "$delta" ] || fail "$delta" 2
    [ -n "$platform" ] || platform=$(this_platform)
    choose_images
    choose_engine
  fi
  have tar || fail 'tar is needed; install it'
  choose_hasher
  find_bundle "$given"
  if [ -z "$root" ]; then unpack; else make_work; fi
  [ -f "$root/SHA256SUMS" ] || fail 'this is not a bundle of slimpack, or it is cut off: it has no SHA256SUMS'
  check_belongs
  if [ -n "$key" ]; then check_signature; fi
  if [ "$action" = check ]; then
    check_files ''
    case $root in "$work"/*) check_nothing_else ;; esac
    say 'whole'
    exit
  fi
  {
    echo oci-layout
    for number in $chosen; do values "$number" blob; done
  } | sort -u >"$work/needed"
  check_files "$work/needed"
  # Nothing is loaded that no digest stands for.
  sort -u "$work/checked" >"$work/known"
  cmp -s "$work/needed" "$work/known" || fail 'SHA256SUMS does not name all files of the images'
  # shellcheck disable=SC2086
  "load_$engine" $chosen
  exit
}

main "$@"
