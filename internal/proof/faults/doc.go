/*
Package faults does harm to real deployments while owners work with them, and
has what came of it checked by package proof.

A [Deployment] is processes and the links between them. Each link runs through
a proxy of this process ([Link]), so that it can be cut, in one direction or
both, slowed down, or broken again and again. Processes ([Process]) are stopped
and continued, killed and started again, their disk refuses or delays writes,
and their wall clock jumps. The owners are processes too, and suffer the same.

What is drawn is drawn from a seed, which is said at the start: the same seed
gives the same faults at the same times. What the processes make of it is up to
the machine. So a failure leaves a directory behind with the history, the logs
of all processes, and a picture.

# How each fault is made

Only the program that is tested runs, as it is. A process is stopped with
SIGSTOP and killed with SIGKILL. A disk that is full, slow or broken is made
with strace, which gets between the process and the kernel and lets writes fail
or take their time (ENOSPC from pwrite64 and fallocate, EIO from fsync, a delay
in fsync). The wall clock of a program in Go cannot be set from outside, since
the kernel has only one; so the program is built with a package time in which
time.Now adds to the wall clock, and only to it, what stands in a file
([Build]). In a cluster each node sees the others under names that lead it to
proxies of its own, by an /etc/hosts in a mount namespace of its own.
*/
package faults
