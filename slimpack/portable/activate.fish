# Activates the environment that this file lies in. Source it:  source bin/activate.fish
# Afterwards `deactivate` is a function that takes away what this added.

# conda-pack's own script defines a function of the same name.
if functions -q deactivate; and set -q _OLD_PATH
    deactivate
end

# Sources NAME.fish in a folder. For a NAME.sh that has no NAME.fish beside it: sh
# sources it, and the variables that it exports or unsets are taken over.
function _slimpack_source --argument-names folder
    set -l shell (command -s bash; or command -s sh)
    for file in $folder/*.sh
        test -e (string replace -r '\.sh$' .fish -- $file); and continue
        set -l before (command env -0 | string split0)
        set -l after (command $shell[1] -c '. "$1" >&2; exec env -0' sh $file | string split0)
        set -q after[1]; or continue
        set -l names
        for entry in $after
            set -l name (string match -r '^[A-Za-z_][A-Za-z0-9_]*(?==)' -- $entry); or continue
            set -a names $name
            contains -- $entry $before; and continue
            contains -- $name _ SHLVL PWD OLDPWD; and continue
            set -gx $name (string replace -r '(?s)^[^=]*=' '' -- $entry | string collect)
        end
        for entry in $before
            set -l name (string match -r '^[A-Za-z_][A-Za-z0-9_]*(?==)' -- $entry); or continue
            contains -- $name $names _ SHLVL PWD OLDPWD; or set -e $name
        end
    end
    for file in $folder/*.fish
        source $file
    end
end

function _slimpack_restore --argument-names name
    set -l old _SLIMPACK_OLD_$name
    if set -q $old
        set -gx $name $$old
        set -e $old
    else
        set -eg $name
    end
end

function deactivate -d 'Deactivate the environment that activate.fish activated'
    if set -q _CONDA_PACK_OLD_PS1; and set -q CONDA_PREFIX
        _slimpack_source $CONDA_PREFIX/etc/conda/deactivate.d
        for name in (string split ' ' -- "$_SLIMPACK_VARIABLES")
            test -n "$name"; and _slimpack_restore $name
        end
        set -l index (contains -i -- $CONDA_PREFIX/bin $PATH)
        and set -e PATH[$index]
        _slimpack_restore CONDA_PREFIX
        set -e _CONDA_PACK_OLD_PS1
        set -e _SLIMPACK_VARIABLES
    end
    if functions -q _slimpack_fish_prompt
        # A prompt that was chosen since then stays.
        if functions fish_prompt | string match -q '*_slimpack_fish_prompt*'
            functions -e fish_prompt
            functions -c _slimpack_fish_prompt fish_prompt
        end
        functions -e _slimpack_fish_prompt
    end
    functions -e _slimpack_source _slimpack_restore deactivate
end

function _slimpack_activate --argument-names script
    set -l prefix (realpath -- (dirname -- $script)/..)
    if string match -q '*:*' -- $prefix
        echo "activate: no folder on PATH can have a colon: $prefix" >&2
        return 1
    end
    # _CONDA_PACK_OLD_PS1 is the sign of an environment that was activated this way.
    if set -q _CONDA_PACK_OLD_PS1; and set -q CONDA_PREFIX
        if test "$CONDA_PREFIX" = "$prefix"
            contains -- $prefix/bin $PATH; or set -gx PATH $prefix/bin $PATH
            return 0
        end
        set -l definitions (functions _slimpack_source _slimpack_restore deactivate | string collect)
        deactivate
        echo $definitions | source
    end

    if set -q CONDA_PREFIX
        set -gx _SLIMPACK_OLD_CONDA_PREFIX $CONDA_PREFIX
    end
    set -gx CONDA_PREFIX $prefix
    set -gx _CONDA_PACK_OLD_PS1 "$PS1"
    set -gx PATH $prefix/bin $PATH

    if functions -q fish_prompt; and not functions -q _slimpack_fish_prompt
        functions -c fish_prompt _slimpack_fish_prompt
        function fish_prompt
            # First, because it may look at the status of the last command.
            set -l prompt (_slimpack_fish_prompt)
            printf '(%s) ' (basename -- "$CONDA_PREFIX")
            string join -- \n $prompt
        end
    end
@VARIABLES@
    _slimpack_source $prefix/etc/conda/activate.d
    return 0
end

_slimpack_activate (status filename)
set -l _slimpack_status $status
functions -e _slimpack_activate
set -q _CONDA_PACK_OLD_PS1; or functions -e _slimpack_source _slimpack_restore deactivate
test $_slimpack_status -eq 0
