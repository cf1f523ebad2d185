-- tick SERVER DEAD WAITERS WATCHERS FLOOR MOST AGE: what each server does once a
-- second, and when a hold ends. WAITERS is "1" if it answers for any; DEAD is
-- how long, in ms, they outlive it. WATCHERS is, in ms, for how long events
-- should be sent on; "0" if it has no watchers. No event sent from now on has an
-- ID below FLOOR. At most MOST holds are ended, and as many made old, that if AGE
-- is "1".
--
-- {how many holds were ended and made old, and waiters removed; ms to the next end, or -1; 1
-- if the server was known to have waiters; how many holds have run out since a
-- server was told last; the ID of the last event; what Redis says if it is full,
-- or ""}

-- Whether Redis takes anything is found out here, and not by a client; nor in
-- the middle of a script that lets somebody in. A Redis that is full still takes
-- what comes after something that makes room, and all of this is due there, too.
local taken = redis.pcall('SET', P .. 'probe', 1, 'PX', 1)
local full = taken.err and taken.err:find('^OOM')
if taken.err and not full then return taken end
call('DEL', P .. 'probe')
call('PUBLISH', P .. 'probe', '')

local server, dead = ARGV[1], tonumber(ARGV[2])
local known, id = 1, 0
if ARGV[3] == '1' then
  known = call('ZSCORE', P .. 'servers', server) and 1 or 0
  beat(server, dead)
end
-- Were all silent, each has to be given the time to say that it lives.
if call('EXISTS', P .. 'servers') == 1
  and not call('SET', P .. 'heard', 1, 'PX', math.max(1500, math.floor(dead / 2)), 'GET') then
  for _, server in ipairs(call('ZRANGE', P .. 'servers', 0, -1)) do beat(server, dead) end
end
if ARGV[4] ~= '0' then
  local floor = tonumber(ARGV[5])
  id = tonumber(call('GET', P .. 'watched') or -1)
  if id >= 0 and id + 1 >= floor then
    call('PEXPIRE', P .. 'watched', ARGV[4])
  else -- nobody has watched lately, or Redis has lost the last events
    id = math.max(now, floor)
    -- As digits: a number that ends in many zeros may be written with an exponent.
    call('SET', P .. 'watched', string.format('%.0f', id), 'PX', ARGV[4])
  end
end
local done = sweep(tonumber(ARGV[6]))
if ARGV[7] == '1' then done = done + age(tonumber(ARGV[6])) end
local soon = nextEnd()
finish()
return {done, soon, known, tonumber(call('GETDEL', P .. 'expired') or 0), tonumber(id), full and taken.err or ''}
