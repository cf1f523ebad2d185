-- The short way, for a request that asks for one key exclusively which nobody
-- holds or waits for, and whose owner waits for nothing, while nobody follows
-- events; but not at a limit on holds. It answers with the version alone. It stands
-- before the library, so that the library is not set up.

local uid, exp, note = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local limits = readLimits(ARGV[5])
local FIRST = 6 -- ARGV from here on: what is asked, the code and the key in turn

-- Whether one hold more is too many, or perhaps too many.
local function full()
  return limits.holds > 0 and allHolds() >= limits.holds
    or limits.ofUID > 0 and (call('EXISTS', P .. 'young') == 1 or oldHolds(uid) >= limits.ofUID)
end

if ARGV[6] == 'x' and #ARGV == 7 then
  local name = ARGV[7]
  local at, last = P .. 'k:' .. name, P .. 'last'
  local got = call('MGET', at, last, P .. 'watched', P .. 'waiters')
  if not got[1] and not got[3] and not (got[4] and call('EXISTS', P .. 'q:' .. uid) == 1)
    and not (limits and full()) then
    local version, ends = now, now + exp * 1000
    if got[2] and got[2] + 1 > now then version = got[2] + 1 end
    local old = limits and limits.ofUID > 0
    call('MSET', at, '!' .. struct.pack(HOLD, version, ends, now, exp, 0, old and 6 or 2) .. uid .. '\0' .. note, last, version)
    call('ZADD', P .. (old and 'old' or 'young'), ends, name .. '\0' .. uid)
    if old then call('ZADD', P .. 'index', 0, 'k' .. name, 0, 'u' .. uid .. '\0' .. name) end
    return version
  end
end
