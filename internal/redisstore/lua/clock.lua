-- The time of Redis is the lease clock.
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2] -- µs
