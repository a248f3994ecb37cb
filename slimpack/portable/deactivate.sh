# Deactivates the environment that bin/activate activated. Source it:  . deactivate
# It takes away only what activation added, whatever else was changed in between.

# Sources each *.sh in folder $1, the last first.
_slimpack_off_source() {
  _slimpack_off_folder=$1 _slimpack_off_flags=$-
  if [ -n "${ZSH_VERSION-}" ]; then
    \setopt local_options glob unset no_nomatch no_err_exit
    _slimpack_off_flags=''
  else
    \set +e +u +f
  fi
  \set --
  for _slimpack_off_file in "$_slimpack_off_folder"/*.sh; do
    \set -- "$_slimpack_off_file" "$@"
  done
  for _slimpack_off_file in "$@"; do
    \set --
    if [ -f "$_slimpack_off_file" ] && [ -r "$_slimpack_off_file" ]; then
      \. "$_slimpack_off_file"
    fi
  done
  case $_slimpack_off_flags in *f*) \set -f ;; esac
  case $_slimpack_off_flags in *u*) \set -u ;; esac
  case $_slimpack_off_flags in *e*) \set -e ;; esac
}

# Gives variable $1 the value that it had before, or unsets it.
_slimpack_off_restore() {
  case $1 in
    '' | [0-9]* | *[!A-Za-z0-9_]*) \return 0 ;;
  esac
  \eval "
    if [ -n \"\${_SLIMPACK_OLD_$1+x}\" ]; then
      $1=\$_SLIMPACK_OLD_$1
      \\export $1
      \\unset _SLIMPACK_OLD_$1
    else
      \\unset $1 || :
    fi"
}

_slimpack_off() {
  if [ -z "${_CONDA_PACK_OLD_PS1+x}" ] || [ -z "${CONDA_PREFIX-}" ]; then
    \return 0
  fi
  _slimpack_off_source "$CONDA_PREFIX/etc/conda/deactivate.d"

  _slimpack_off_names=${_SLIMPACK_VARIABLES-}
  while [ -n "$_slimpack_off_names" ]; do
    _slimpack_off_restore "${_slimpack_off_names%% *}"
    case $_slimpack_off_names in
      *' '*) _slimpack_off_names=${_slimpack_off_names#* } ;;
      *) _slimpack_off_names='' ;;
    esac
  done

  _slimpack_off_path=:${PATH-}:
  case $_slimpack_off_path in
    *":$CONDA_PREFIX/bin:"*)
      _slimpack_off_path=${_slimpack_off_path%%":$CONDA_PREFIX/bin:"*}:${_slimpack_off_path#*":$CONDA_PREFIX/bin:"}
      _slimpack_off_path=${_slimpack_off_path#:}
      PATH=${_slimpack_off_path%:} ;;
  esac

  if [ -n "${PS1+x}" ]; then
    _slimpack_off_name=${CONDA_PREFIX##*/}
    case $_slimpack_off_name in
      *[\$\`\\%!]*) _slimpack_off_name=$(\printf '%s' "$_slimpack_off_name" | \tr '$`\\%!' '_____') ;;
    esac
    PS1=${PS1#"($_slimpack_off_name) "}
  fi
  _slimpack_off_restore CONDA_PREFIX
  \unset _CONDA_PACK_OLD_PS1 _SLIMPACK_VARIABLES || :
}

_slimpack_off
\unset -f _slimpack_off _slimpack_off_source _slimpack_off_restore || :
\unset _slimpack_off_folder _slimpack_off_flags _slimpack_off_file _slimpack_off_names || :
\unset _slimpack_off_path _slimpack_off_name || :
