export ACTIVATION_PROBE_HOME="${CONDA_PREFIX}/share/activation-probe"
export ACTIVATION_PROBE_MODE=active
