#!/bin/bash
# A SLURM cluster of two nodes on this machine, without systemd: cluster.sh start|stop|restart|status DIR
# Of Debian's packages slurmctld, slurmd, slurm-client and munge. Any user can start it; its files lie below DIR.
# SLURM_BASE_PORT: its first of three ports. restart: kill the controller and start it again.
# SLURM_SETTINGS: lines of slurm.conf in place of its own; SLURM_MAIN: options of the partition main.
set -eu
act=$1; D=$(mkdir -p "$2" && cd "$2" && pwd); export SLURM_CONF=$D/slurm.conf
PATH=$PATH:/usr/sbin:/sbin
# Nodes are named like addresses, so that a node's name resolves, for torch as well.
U=$(id -un); A=127.0.0.1; B=127.0.0.2; P=${SLURM_BASE_PORT:-17000}
alive() { local s; s=$(ps -o stat= -p "$1" 2>/dev/null) && [ -n "$s" ] && [ "${s#Z}" = "$s" ]; }   # a zombie is dead
stop_pid() { [ -s "$1" ] || return 0; local p; p=$(cat "$1"); kill "$p" 2>/dev/null || true
  for _ in $(seq 100); do alive "$p" || break; sleep 0.05; done
  ! alive "$p" || kill -9 "$p"; rm -f "$1"; }
case $act in
start)
  mkdir -p $D/{munge,state,log,run} $D/spool/$A $D/spool/$B; chmod 755 $D $D/munge $D/run
  [ -s $D/munge/key ] || { (umask 077; head -c 128 /dev/urandom > $D/munge/key); }
  touch $D/gpu{0,1,2,3}  # GPUs that jobs can ask for; there are none
  echo "NodeName=127.0.0.[1-2] Name=gpu File=$D/gpu[0-3]" > $D/gres.conf
  cat > $D/slurm.conf <<C
ClusterName=toy
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$P
SlurmUser=$U
SlurmdUser=$U
AuthType=auth/munge
AuthInfo=socket=$D/munge/sock,cred_expire=8
CredType=cred/munge
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool/%n
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd-%n.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd-%n.log
SlurmctldDebug=info
SlurmdDebug=info
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$D/log/jobcomp.log
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,sched_min_interval=100000
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=10
SlurmctldTimeout=10
InactiveLimit=0
KillWait=3
MinJobAge=600
Waittime=0
UnkillableStepTimeout=15
MessageTimeout=10
TCPTimeout=2
GresTypes=gpu
NodeName=$A NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((P+1)) CPUs=64 RealMemory=8000 Gres=gpu:4 State=UNKNOWN
NodeName=$B NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((P+2)) CPUs=64 RealMemory=8000 Gres=gpu:4 State=UNKNOWN
PartitionName=main Nodes=127.0.0.[1-2] Default=YES MaxTime=INFINITE DefaultTime=10 PriorityTier=1 ${SLURM_MAIN:-PreemptMode=REQUEUE GraceTime=0}
PartitionName=grace Nodes=127.0.0.[1-2] MaxTime=INFINITE DefaultTime=10 PriorityTier=1 PreemptMode=REQUEUE GraceTime=60
PartitionName=high Nodes=127.0.0.[1-2] MaxTime=INFINITE DefaultTime=10 PriorityTier=10 PreemptMode=OFF
C
  for setting in ${SLURM_SETTINGS:-}; do sed -i "s|^${setting%%=*}=.*||" $D/slurm.conf; echo "$setting" >> $D/slurm.conf; done
  munged --socket=$D/munge/sock --key-file=$D/munge/key --pid-file=$D/munge/pid \
         --log-file=$D/munge/log --seed-file=$D/munge/seed --force 2>$D/log/munged
  slurmctld
  for n in $A $B; do slurmd -N $n; done
  for _ in $(seq 600); do
    [ "$(sinfo -h -N -p main -t idle -o %N 2>/dev/null | wc -l)" = 2 ] && exec sinfo; sleep 0.1; done
  echo "the nodes are not idle after a minute" >&2; sinfo >&2 || true; tail -n 20 $D/log/slurm*.log >&2; exit 1 ;;
stop)
  timeout 10 scancel --user=$U 2>/dev/null || true
  for _ in $(seq 50); do [ -z "$(timeout 5 squeue -h 2>/dev/null)" ] && break; sleep 0.2; done
  for n in $A $B; do stop_pid $D/run/slurmd-$n.pid; done
  stop_pid $D/run/slurmctld.pid; stop_pid $D/munge/pid ;;
restart)
  kill -9 "$(cat $D/run/slurmctld.pid)"
  for _ in $(seq 100); do alive "$(cat $D/run/slurmctld.pid)" || break; sleep 0.05; done
  slurmctld
  for _ in $(seq 100); do scontrol ping 2>/dev/null | grep -q UP && break; sleep 0.1; done ;;
status) sinfo; squeue ;;
esac
