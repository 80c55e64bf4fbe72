#!/usr/bin/env bash
# Pretrain on all GPUs of this machine (or on all cores if it has no GPU). The arguments are those of clicv2lite pretrain:
#   one_machine.sh --recipe vit-b32 --images 'shards/{000000..001499}.tar' --out runs/b32
# If a rank dies, all ranks restart from the newest checkpoint, up to RESTARTS times. PROCESSES: number of ranks.
set -euo pipefail
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT="${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-100}"  # seconds for the last checkpoint, not torchrun's 30
exec python -m torch.distributed.run --standalone --nproc-per-node "${PROCESSES:-auto}" --max-restarts "${RESTARTS:-3}" \
    -m clicv2lite pretrain --resume "$@"
