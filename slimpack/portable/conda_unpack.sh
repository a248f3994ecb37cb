#!/bin/sh
# -*- coding: utf-8 -*-
''':'
# conda-unpack @VERSION@: writes the place where this environment lies into its files.
# Run it after unpacking, and again after each move.
#
# This file is a program for sh and for Python: what sh runs is a string to Python,
# and ends before the Python part. Without any Python sh does the work.

say() { printf "%s: %s\n" conda-unpack "$1" >&2; }

case $0 in
  */*) program=$0 ;;
  *) if [ -f "./$0" ]; then program=./$0; else program=$(command -v -- "$0"); fi ;;
esac
while [ -h "$program" ]; do
  link=$(readlink -- "$program") || exit 1
  case $link in
    /*) program=$link ;;
    *) program=$(dirname -- "$program")/$link ;;
  esac
done
root=$(CDPATH='' cd -- "$(dirname -- "$program")/.." && pwd) || exit 1
program=$root/bin/${program##*/}

# Python would look for modules where the program lies, or in the current folder.
alone='import sys; del sys.path[0]; import argparse, runpy'
for python in "$root/bin/python" "$root/bin/python3" python3 python; do
  if "$python" -B -E -S -c "$alone" >/dev/null 2>&1; then
    exec "$python" -B -E -S -c "$alone; runpy.run_path(sys.argv.pop(1), run_name='__main__')" \
      "$program" "$@"
  fi
done

set -f
LC_ALL=C
export LC_ALL
newline='
'

usage() {
  printf "%s\n" 'usage: conda-unpack [-h] [--version] [--verbose] [--check] [--prefix PATH]' \
    '' 'Write the place where this environment lies into its files.' \
    '  -v, --verbose   name each rewritten file' \
    '  --check         write nothing; say what would be done' \
    '  --prefix PATH   write for this place instead'
}

# Prints COUNT bytes of $file from OFFSET on.
bytes() { dd if="$file" bs=1 skip="$1" count="$2" 2>/dev/null; }
# Prints how many bytes come in, or of these how many are NUL.
number() { echo $(($(wc -c))); }
nuls() { tr -dc '\000' | number; }

# Sets gap, tail and count from $step: see unpack_program.py in slimpack.
split() {
  gap=${step%%:*} tail=0 count=0
  case $step in
    *:*) tail=${step#*:} count=${step##*:} tail=${tail%%:*} ;;
  esac
}

# Tells whether $file has the prefix $1, which has $2 bytes, at every step.
fits() {
  at=0
  IFS=,
  for step in $steps; do
    split
    at=$((at + gap))
    # The shell may complain of NULs.
    { text=$(bytes "$at" "$2" && echo x); } 2>/dev/null
    [ "$text" = "$1x" ] || return 1
    at=$((at + $2 + tail))
    padding=$((count * (space - $2)))
    [ "$padding" -ge 0 ] || return 1
    [ "$padding" -eq 0 ] || [ "$(bytes "$at" "$padding" | nuls)" -eq "$padding" ] || return 1
    if [ "$tail" -gt 0 ]; then
      [ "$(bytes $((at - 1)) 1 | tr -d '\000' | number)" -eq 1 ] || return 1
    fi
    at=$((at + padding))
  done
}

# Sets present to the prefix that $file has: one of $known or the placeholder.
find_present() {
  found=''
  IFS=$newline
  for candidate in $known $placeholder; do
    length=$(printf %s "$candidate" | number)
    case $newline$found in
      *"$newline$candidate$newline"*) ;;
      *) if fits "$candidate" "$length"; then found=$found$candidate$newline; fi ;;
    esac
  done
  present=${found%%"$newline"*}
  [ "$found" != "$present$newline" ] || return 0
  # Such as /a and /ab: they differ in length, so the size decides.
  total=$(number <"$file")
  present=''
  IFS=$newline
  for candidate in $found; do
    length=$(printf %s "$candidate" | number)
    expected=$size
    IFS=,
    for step in $steps; do expected=$((expected + length - space)); done
    [ "$expected" -ne "$total" ] || present=$candidate
  done
  [ -n "$present" ]
}

# Copies the next $1 bytes of $file, which is open as 3.
copy() {
  if [ "$1" -ge 65536 ]; then dd bs=65536 count=$(($1 / 65536)) <&3 2>/dev/null || return 1; fi
  if [ $(($1 % 65536)) -gt 0 ]; then dd bs=$(($1 % 65536)) count=1 <&3 2>/dev/null || return 1; fi
}

# Prints $file with $prefix in place of $present. Fails when another process, in
# this moment, replaced the file that $present was found in.
emit() {
  length=$(printf %s "$present" | number)
  IFS=,
  for step in $steps; do
    split
    copy "$gap" && copy "$length" >/dev/null && printf %s "$prefix" && copy "$tail" || return 1
    copy $((count * (space - length))) >/dev/null || return 1
    padding=$((count * (space - room)))
    if [ "$padding" -gt 0 ]; then
      dd if=/dev/zero bs="$padding" count=1 2>/dev/null || return 1
    fi
  done
  cat <&3 && fits "$present" "$length"
}

# Replaces file $1 by what the command after it prints; mode, owner and time stay.
replace() {
  target=$1
  shift
  # On a shared file system another machine may have a process of this number.
  temporary=$(mktemp "${target%/*}/.conda-unpack.tmp.XXXXXX" 2>/dev/null) ||
    temporary=${target%/*}/.conda-unpack.tmp.$$
  if cp -p "$target" "$temporary" 2>/dev/null && chmod u+w "$temporary" &&
    "$@" >"$temporary" && touch -r "$target" "$temporary"; then
    case $(ls -ld "$target") in
      ??w*) ;;
      *) chmod u-w "$temporary" ;;
    esac
    mv -f "$temporary" "$target" 2>/dev/null && return 0
  fi
  rm -f "$temporary"
  return 1
}

linked() {
  walked=$root rest=$path/
  while [ -n "$rest" ]; do
    walked=$walked/${rest%%/*} rest=${rest#*/}
    if [ -h "$walked" ]; then return 0; fi
  done
  return 1
}

# Rewrites $path; sets reason when it stays as it is, and changed when that is its own doing.
rewrite() {
  file=$root/$path reason='' changed=''
  if linked; then reason='a link is in the way'; return; fi
  if [ ! -f "$file" ]; then reason='it is not there'; return; fi
  if [ ! -r "$file" ]; then reason='it cannot be read'; return; fi
  # Twice, because another process may replace the file between two looks at it.
  if ! find_present && ! find_present; then
    changed=yes
    reason='it was changed after it was packed; the prefix is not where it was'
    return
  fi
  if [ "$present" = "$prefix" ]; then return; fi
  if [ "$kind" = '#b' ] && [ "$room" -gt "$space" ]; then
    reason="the prefix has $room bytes, this binary holds $space"
    return
  fi
  if [ -z "$check" ]; then
    exec 3<"$file"
    if ! replace "$file" emit; then
      if find_present && [ "$present" = "$prefix" ]; then return; fi
      reason='it cannot be written'
    fi
    exec 3<&-
  fi
  if [ -z "$reason" ]; then
    rewritten=$((rewritten + 1))
    if [ -n "$verbose" ]; then printf "%s\n" "$path"; fi
  fi
}

write_state() {
  if [ -n "$check" ] || [ "$(cat "$state" 2>/dev/null)" = "$1" ]; then return 0; fi
  if { mkdir -p "$root/conda-meta" && : >>"$state" && chmod 644 "$state"; } 2>/dev/null; then
    replace "$state" printf "%s\n" "$1" && return 0
  fi
  say 'conda-meta/unpacked-prefix: it cannot be written'
  exit 1
}

prefix=$root check='' verbose=''
while [ $# -gt 0 ]; do
  case $1 in
    --version) echo 'conda-unpack @VERSION@'; exit 0 ;;
    -h | --help) usage; exit 0 ;;
    -v | --verbose) verbose=yes ;;
    --check) check=yes ;;
    --prefix=*) prefix=${1#*=} ;;
    --prefix)
      if [ $# -lt 2 ]; then usage >&2; exit 2; fi
      prefix=$2
      shift ;;
    *) usage >&2; say "unrecognized argument: $1"; exit 2 ;;
  esac
  shift
done
while [ "${prefix%/}" != "$prefix" ] && [ "$prefix" != / ]; do prefix=${prefix%/}; done
case $prefix in
  *"$newline"*) prefix='' ;;
esac
case $prefix in
  /*) ;;
  *) say 'the prefix must be an absolute path on one line'; exit 2 ;;
esac

state=$root/conda-meta/unpacked-prefix
known=$prefix
IFS=$newline
for line in $(cat "$state" 2>/dev/null); do
  if [ "$line" != "$prefix" ]; then known=$known$newline$line; fi
done
room=$(printf %s "$prefix" | number)
rewritten=0 failed=0 settled=yes started=''

exec 4<"$program"
while IFS= read -r line && [ "$line" != '#= table 1' ]; do :; done <&4
while IFS= read -r line; do
  kind=${line%% *} line=${line#* }
  if [ "$kind" = '#p' ]; then
    placeholder=$line
    space=$(printf %s "$placeholder" | number)
    continue
  fi
  size=${line%% *} line=${line#* }
  steps=${line%% *} path=${line#* }
  # Both are kept until the last file is done, so that a run that was cut off is
  # completed by the next, wherever the environment lies by then.
  if [ -z "$started" ]; then write_state "$known"; started=yes; fi
  rewrite
  if [ -n "$reason" ]; then
    say "$path: $reason"
    failed=$((failed + 1))
    if [ -z "$changed" ]; then settled=''; fi
  fi
done <&4
if [ -n "$settled" ] && [ -n "$started" ]; then write_state "$prefix"; fi
if [ -n "$check" ]; then
  echo "$rewritten to rewrite, $failed that cannot be"
elif [ -n "$verbose" ]; then
  echo "$rewritten rewritten, $failed could not be"
fi
[ "$failed" -eq 0 ]
exit
'''
