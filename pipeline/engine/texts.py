"""Texts of the executors that a user reads, one a line."""

from pipeline.core.language import _

# Faults before any work.
NO_GPU = _("runtime.gpus={asked}: GPU {missing} is not there; torch sees {seen}")
NO_GPU_REMEDY = _("name GPUs that `nvidia-smi` lists, or leave runtime.gpus=auto")
PER_GPU_WITHOUT_GPU = _("runtime.per_gpu={n}: torch sees no GPU")
PER_GPU_WITHOUT_GPU_REMEDY = _("set runtime.processes for processes on CPUs")
PROCESSES_ON_GPU = _("runtime.processes={n} is for CPUs, and this command computes on GPUs")
PROCESSES_ON_GPU_REMEDY = _("set runtime.per_gpu for several processes on each GPU, or runtime.device=cpu")
PER_GPU_MEMORY = _("runtime.per_gpu={n}: each process needs about {least:g} GB of its GPU's memory before it trains anything larger than a small network")
GPU_MEMORY = _("GPU {gpu} has {gb} GB")
PER_GPU_MEMORY_REMEDY = _("set runtime.per_gpu={most} or less")
TOO_FEW_CORES = _("{processes} processes with {threads} threads each need {need} cores, and there are {cores}")
TOO_FEW_CORES_REMEDY = _("set {fits}; the number of threads is in the record of every result")
FEWER_GPUS = _("fewer runtime.gpus or a smaller runtime.per_gpu")
ONE_PROCESS = _("one process only: each result uses all {cores} cores; runtime.threads=1 lets {cores} run at once")


# Faults of workers.
OTHER_KEY = _("{title}: its worker computes the key {own} instead of {asked}: its files, packages or code differ")
OTHER_KEY_REMEDY = _("run it again if files were changed meanwhile; a cluster needs the same files and versions everywhere")
DIED = _("{title}: its process ended ({reason}); it is tried once more")
DIED_TWICE = _("{title}: its process ended twice ({reason})")
DIED_REMEDY = _("the usual cause is memory: set fewer runtime.processes or runtime.per_gpu, or a smaller train.batch_size")
DIED_OUTPUT = _("its last words: {line}")
SIGNAL = _("signal {name}")
EXIT = _("exit code {code}")
FAULT_OF = _("{titles}: {fault}")
SEVERAL = _("{n} results could not be built")
SEVERAL_REMEDY = _("finished results are kept; the next run builds only what is missing")
ALSO = _("besides, these failed for a reason that you can correct: {faults}")
BUG = "{title}: an error inside Podium, in the process that built it:\n{trace}"

# Progress.
PROGRESS = _("{done} of {all} done, {running} running{eta}")
RUNNING = _("{title}: epoch {epoch} of {epochs}")
ETA = _(", about {time} left")
# The parts of the live line in a terminal, which are joined by " · "; the last ones are cut off where it is narrow.
LIVE_DONE = _("{command}: {done} of {all} done")
LIVE_SEARCH = _("{command}: {text}")
LIVE_ETA = _("about {time} left")
LIVE_AT_LEAST = _("more than {time} left")
LIVE_UNTIL = _("the time is up in {time}")
LIVE_BEST = _("best so far {score:.4f} ({title})")
LIVE_PARTS = _("{score:.4f} over {n:fold} so far")
LOCKED = _("another command builds {title}: its result is used when it is there")

# Ray.
RAY_MISSING = _("runtime.executor=ray: Ray is not installed")
RAY_MISSING_REMEDY = _("pip install 'podium[ray]', or set runtime.executor=local")
RAY_DASHBOARD = _("ray: machines {n}, results at once {size}, dashboard http://{url}")
RAY_QUEUE = "ray"
RAY_HERE = _("Ray on this machine")
RAY_ADDRESS = _("runtime.address={address}: it must be `auto` or HOST:PORT")
RAY_ADDRESS_REMEDY = _("`ray start --head` prints the address of its cluster, such as 10.0.0.1:6379")
RAY_SILENT = _("runtime.address={address}: no Ray cluster answers there")
RAY_SILENT_REMEDY = _("run `ray start --head` there, or leave runtime.address out: Ray then starts on this machine")
RAY_REFUSED = _("{address}: Ray refused the connection: {reason}")
RAY_REFUSED_REMEDY = _("use the same Python and Ray everywhere, and run `ray start --address=HOST:PORT` on this machine, too")
RAY_NO_GPU = _("runtime.device=cuda: no machine of the Ray cluster has a GPU")
RAY_PER_GPU = _("runtime.per_gpu={n}: no machine of the Ray cluster has a GPU")
RAY_NO_GPU_REMEDY = _("start Ray on a machine with a GPU, or with `ray start --num-gpus=N`, or leave this setting out")
RAY_TOO_FEW_CORES = _("one result needs {need} cores, and the largest machine of the Ray cluster that could build it has {cores}")
RAY_FEWER_THREADS = _("set runtime.threads={n}; the number of threads is in the record of every result")
RAY_NO_CORES = _("start Ray with cores for tasks: `ray start --num-cpus=N`")
RAY_VERSION = _("{name} {other}, and the command has {own}")
RAY_UNSEEN = _("it does not see {path} of the command")
RAY_NO_PROCESS = _("{host}: it started no process within {seconds} s")
RAY_DIFFERENT = _("machines of the Ray cluster cannot build the same results as this one")
RAY_DIFFERENT_REMEDY = _("install the same versions everywhere, and put runtime.home and the checkout on a folder that all machines see")
RAY_RECORD_HERE = _("runtime.home is a bucket, and the record of runs is a file on this machine, which other machines cannot write")
RAY_RECORD_REMEDY = _("set runtime.mlflow_uri to an MLflow server that all machines reach, or runtime.mlflow=false")
RAY_RECORD_SHARED = _("several machines write one mlflow.db over the network, which is not safe: set runtime.mlflow_uri to a server")
