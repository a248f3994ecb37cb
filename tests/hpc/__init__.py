"""Root file systems for Apptainer and enroot."""
