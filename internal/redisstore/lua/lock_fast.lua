-- The short way, for a request that asks for one key exclusively which nobody
-- holds or waits for, and whose owner waits for nothing, while nobody follows
-- events. It answers with the version alone. It stands before the library, so that the library is not set up.

local uid, exp, note = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local FIRST = 5 -- ARGV from here on: what is asked, the code and the key in turn

if ARGV[5] == 'x' and #ARGV == 6 then
  local at, last = P .. 'k:' .. ARGV[6], P .. 'last'
  local got = call('MGET', at, last, P .. 'watched', P .. 'waiters')
  if not got[1] and not got[3] and not (got[4] and call('EXISTS', P .. 'q:' .. uid) == 1) then
    local version, ends = now, now + exp * 1000
    if got[2] and got[2] + 1 > now then version = got[2] + 1 end
    call('MSET', at, '!' .. struct.pack(HOLD, version, ends, now, exp, 0, 0) .. uid .. '\0' .. note, last, version)
    call('ZADD', P .. 'young', ends, ARGV[6] .. '\0' .. uid)
    return version
  end
end
