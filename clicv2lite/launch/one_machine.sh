#!/usr/bin/env bash
# Pretrain on all GPUs of this machine (on all cores where there is none). The arguments are those of clicv2lite pretrain:
#   one_machine.sh --recipe vit-b32 --images 'shards/{000000..001499}.tar' --out runs/b32
# A rank that dies is restarted, up to RESTARTS times, and all go on from the newest checkpoint. PROCESSES: ranks to start.
set -euo pipefail
exec python -m torch.distributed.run --standalone --nproc-per-node "${PROCESSES:-auto}" --max-restarts "${RESTARTS:-3}" \
    -m clicv2lite pretrain --resume "$@"
