"""The environment of a process that trains; some of it is read only while the process starts."""

WORKER_ENVIRONMENT = {
    # One thread per process: threads within small matrix products collapse as soon as a core is shared.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # MKL must round the same way for any alignment of the operands: pack invariance rests on it.
    "MKL_CBWR": "AUTO",
    # Memory stays with the process: what a trace point gives back would be faulted in again, page by page, at the next.
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}
