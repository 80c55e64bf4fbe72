#!/usr/bin/env bash
# Pretrain on several machines. Start this on each of them within a few minutes, with the same values and arguments:
#   MACHINES=4 HOST=name-of-the-first:29400 many_machines.sh --recipe vit-l16 --images '/data/{000000..001499}.tar' --out /shared/l16
# --out must be a folder that all machines see. A machine that fails may come back: the others wait for it, up to RESTARTS times.
set -euo pipefail
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT="${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-100}"  # seconds for the last checkpoint, not torchrun's 30
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1  # a new store at each restart, without the addresses of killed ranks
exec python -m torch.distributed.run --nnodes "${MACHINES:?how many machines}" --nproc-per-node "${PROCESSES:-auto}" \
    --rdzv-backend c10d --rdzv-endpoint "${HOST:?the first machine, host:port}" --rdzv-id "${RUN:-clicv2}" \
    --max-restarts "${RESTARTS:-3}" -m clicv2lite pretrain --resume "$@"
