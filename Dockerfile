# Podium in a container, as a user without rights, with the environment as a layer of its own.
#
#   docker build -t podium .                              a GPU is used if the container sees one
#   docker build -t podium:cpu --build-arg DEVICE=cpu --build-arg TORCH_INDEX=… .   without CUDA: about 4 GB less;
#     TORCH_INDEX is the address of torch's wheels for CPUs, which torch's installation page gives
#   docker run --rm -it -v "$PWD/home:/home/podium/home" podium make all
#   docker run --rm -it --gpus all -v "$PWD/home:/home/podium/home" podium make train
#
# Not run where Podium is developed, which has no Docker: tests/test_hosts.py checks what can be checked without.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim

ARG DEVICE=cuda
ARG TORCH_INDEX
ARG USER_ID=1000

RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends make git \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid ${USER_ID} podium

USER podium
WORKDIR /home/podium/code
ENV PODIUM_ENVS=/home/podium/envs PODIUM_HOME=/home/podium/home PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# Only what the environment is made of: a change of the code builds it not again.
COPY --chown=podium requirements.lock ./
COPY --chown=podium tools/bootstrap.py tools/bootstrap.py
# The CPU environment has torch of PyTorch's own index, and everything else of the lock.
RUN if [ "${DEVICE}" = cpu ]; then \
      python -m venv /home/podium/cpu \
      && grep -E '^(torch|torchvision)==' requirements.lock | sed 's/ .*//' > torch.txt \
      && /home/podium/cpu/bin/pip install --index-url "${TORCH_INDEX:?give it with DEVICE=cpu}" -r torch.txt \
      && grep -vE '^(torch|torchvision|nvidia|cuda|triton)' requirements.lock > rest.txt \
      && /home/podium/cpu/bin/pip install --no-deps -r rest.txt \
      && rm torch.txt rest.txt; \
    else \
      python tools/bootstrap.py; \
    fi
# `make` uses the CPU environment where there is one.
RUN echo 'if [ -d /home/podium/cpu ]; then export PODIUM_ENV=/home/podium/cpu; fi' > /home/podium/.podium-env
ENV BASH_ENV=/home/podium/.podium-env

COPY --chown=podium . .
RUN mkdir -p /home/podium/home
VOLUME /home/podium/home
ENTRYPOINT ["bash", "-c", "exec \"$@\"", "podium"]
CMD ["make", "help"]
