# Activates the environment that this file lies in. Source it:  . bin/activate
# For bash, dash, zsh, ksh, mksh, posh, yash and busybox; fish has activate.fish.
#
# Nothing but variables stays behind. The caller may have set -eu, aliases, CDPATH,
# any IFS: commands are quoted against aliases, and no word is split.

_slimpack_script=''
if [ -n "${BASH_VERSION-}" ]; then
  \eval '_slimpack_script=${BASH_SOURCE[0]-}'
elif [ -n "${ZSH_VERSION-}" ]; then
  \eval '_slimpack_script=${(%):-%x}'
else
  case ${KSH_VERSION-} in
    *93*) \eval '_slimpack_script=${.sh.file}' ;;
  esac
fi

# Other shells do not tell which file they read, but keep it open. Prints the one
# that was opened last; the process is that of the shell, and not of this subshell.
_slimpack_opened() {
  \set +e +f
  _slimpack_best=-1
  for _slimpack_fd in "/proc/$_slimpack_pid/fd/"*; do
    _slimpack_file=$(\readlink "$_slimpack_fd" 2>/dev/null) || \continue
    case $_slimpack_file in
      */bin/activate)
        if [ "${_slimpack_fd##*/}" -gt "$_slimpack_best" ]; then
          _slimpack_best=${_slimpack_fd##*/} _slimpack_script=$_slimpack_file
        fi ;;
    esac
  done
  \printf '%s\n' "$_slimpack_script"
}
if [ -z "$_slimpack_script" ] && [ -r /proc/self/stat ]; then
  IFS=' ' \read -r _slimpack_pid _slimpack_rest </proc/self/stat
  _slimpack_script=$(_slimpack_opened)
fi
# Without /proc: where the environment was unpacked to.
if [ -z "$_slimpack_script" ]; then
  IFS='' \read -r _slimpack_script <<'SLIMPACK_PREFIX'
@PREFIX@
SLIMPACK_PREFIX
  _slimpack_script=$_slimpack_script/bin/activate
fi

case $_slimpack_script in
  */*) ;;
  *) _slimpack_script=./$_slimpack_script ;;
esac
_slimpack_prefix=''
if [ -f "$_slimpack_script" ]; then
  _slimpack_prefix=$(
    \unset -f cd pwd >/dev/null 2>&1 || :
    CDPATH='' \cd -- "${_slimpack_script%/*}/.." >/dev/null 2>&1 && \pwd
  ) || _slimpack_prefix=''
fi

# Sources each *.sh in folder $1. Packages' scripts rarely stand set -eu.
_slimpack_source() {
  _slimpack_folder=$1 _slimpack_flags=$-
  \shift
  if [ -n "${ZSH_VERSION-}" ]; then
    \setopt local_options glob unset no_nomatch no_err_exit
    _slimpack_flags=''
  else
    \set +e +u +f
  fi
  for _slimpack_file in "$_slimpack_folder"/*.sh; do
    if [ -f "$_slimpack_file" ] && [ -r "$_slimpack_file" ]; then
      \. "$_slimpack_file"
    fi
  done
  case $_slimpack_flags in *f*) \set -f ;; esac
  case $_slimpack_flags in *u*) \set -u ;; esac
  case $_slimpack_flags in *e*) \set -e ;; esac
}

_slimpack_activate() {
  case $_slimpack_prefix in
    '')
      \printf '%s\n' 'activate: cannot tell where this environment lies; run bin/conda-unpack' >&2
      \return 1 ;;
    *:*)
      \printf '%s\n' "activate: no folder on PATH can have a colon: $_slimpack_prefix" >&2
      \return 1 ;;
  esac

  # _CONDA_PACK_OLD_PS1 is the sign of an environment that was activated this way.
  if [ -n "${_CONDA_PACK_OLD_PS1+x}" ] && [ -n "${CONDA_PREFIX-}" ]; then
    if [ "$CONDA_PREFIX" = "$_slimpack_prefix" ]; then
      case ":${PATH-}:" in
        *":$_slimpack_prefix/bin:"*) ;;
        *) PATH=$_slimpack_prefix/bin${PATH:+:$PATH} ;;
      esac
      \return 0
    fi
    if [ -f "$CONDA_PREFIX/bin/deactivate" ]; then
      \. "$CONDA_PREFIX/bin/deactivate"
    fi
  fi

  if [ -n "${CONDA_PREFIX+x}" ]; then
    _SLIMPACK_OLD_CONDA_PREFIX=$CONDA_PREFIX
    \export _SLIMPACK_OLD_CONDA_PREFIX
  fi
  CONDA_PREFIX=$_slimpack_prefix
  _CONDA_PACK_OLD_PS1=${PS1-}
  PATH=$_slimpack_prefix/bin${PATH:+:$PATH}
  \export CONDA_PREFIX _CONDA_PACK_OLD_PS1 PATH

  if [ -n "${PS1+x}" ]; then
    _slimpack_name=${_slimpack_prefix##*/}
    case $_slimpack_name in
      # A shell would run what a prompt holds.
      *[\$\`\\%!]*) _slimpack_name=$(\printf '%s' "$_slimpack_name" | \tr '$`\\%!' '_____') ;;
    esac
    PS1="($_slimpack_name) $PS1"
  fi
@VARIABLES@
  _slimpack_source "$_slimpack_prefix/etc/conda/activate.d"
  \return 0
}

if _slimpack_activate; then _slimpack_status=0; else _slimpack_status=1; fi
\unset -f _slimpack_opened _slimpack_source _slimpack_activate || :
\unset _slimpack_script _slimpack_pid _slimpack_rest _slimpack_prefix _slimpack_folder || :
\unset _slimpack_flags _slimpack_file _slimpack_name || :
case $_slimpack_status in
  0) \unset _slimpack_status ;;
  *) \unset _slimpack_status; \return 1 ;;
esac
