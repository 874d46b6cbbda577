"""Texts of the executors that a user reads, one a line."""

# Faults before any work.
NO_GPU = "runtime.gpus={asked}: GPU {missing} is not there; torch sees {seen}"
NO_GPU_REMEDY = "name GPUs that `nvidia-smi` lists, or leave runtime.gpus=auto"
PER_GPU_WITHOUT_GPU = "runtime.per_gpu={n}: torch sees no GPU"
PER_GPU_WITHOUT_GPU_REMEDY = "set runtime.processes for processes on CPUs"
PROCESSES_ON_GPU = "runtime.processes={n} is for CPUs, and this command computes on GPUs"
PROCESSES_ON_GPU_REMEDY = "set runtime.per_gpu for several processes on each GPU, or runtime.device=cpu"
TOO_FEW_CORES = "{processes} processes with {threads} threads each need {need} cores, and there are {cores}"
TOO_FEW_CORES_REMEDY = "set {fits}; the number of threads is in the record of every result"
FEWER_GPUS = "fewer runtime.gpus or a smaller runtime.per_gpu"
ONE_PROCESS = "one process only: each result uses all {cores} cores; runtime.threads=1 lets {cores} run at once"

NO_RAY = "runtime.executor=ray: this version of Podium has no Ray executor yet"
NO_RAY_REMEDY = "set runtime.executor=local, or run one fold a job on a shared folder (docs/cluster.md)"

# Faults of workers.
OTHER_KEY = "{title}: its worker computes the key {own} instead of {asked}: its files, packages or code differ"
OTHER_KEY_REMEDY = "run it again if files were changed meanwhile; a cluster needs the same files and versions everywhere"
DIED = "{title}: its process ended ({reason}); it is tried once more"
DIED_TWICE = "{title}: its process ended twice ({reason})"
DIED_REMEDY = "the usual cause is memory: set fewer runtime.processes or runtime.per_gpu, or a smaller train.batch_size"
DIED_OUTPUT = "its last words: {line}"
SIGNAL = "signal {name}"
EXIT = "exit code {code}"
SEVERAL = "{n} results could not be built"
SEVERAL_REMEDY = "finished results are kept; the next run builds only what is missing"
ALSO = "besides, these failed for a reason that you can correct: {faults}"
BUG = "{title}: an error inside Podium, in the process that built it:\n{trace}"

# Progress.
PROGRESS = "{done} of {all} done, {running} running{eta}"
RUNNING = "{title}: epoch {epoch} of {epochs}"
ETA = ", about {time} left"
SECONDS, MINUTES, HOURS = "{n:.0f} s", "{n:.0f} min", "{n:.1f} h"
LOCKED = "another command builds {title}: its result is used when it is there"
