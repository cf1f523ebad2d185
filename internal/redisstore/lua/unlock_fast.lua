-- The short way, for a token of a key that is held exclusively and has no
-- line, or of one that nobody holds, while nobody follows events. It answers
-- with the number of released tokens. It does not look at the clock: a hold that
-- is still there has not been missed by anybody.

local uid = ARGV[1]

if #ARGV == 3 then
  local at = P .. 'k:' .. ARGV[2]
  local got = call('MGET', at, P .. 'watched')
  local state = got[1]
  if not state then return 0 end
  if not got[2] and state:byte() == 33 then -- "!"
    local version, _, _, _, _, mode, rest = struct.unpack(HOLD, state, 2)
    if version ~= tonumber(ARGV[3]) or state:sub(rest, rest + #uid) ~= uid .. '\0' then return 0 end
    call('DEL', at)
    local member = ARGV[2] .. '\0' .. uid
    if mode < 4 then
      call('ZREM', P .. 'young', member)
    else
      call('ZREM', P .. 'old', member)
      call('ZREM', P .. 'index', 'k' .. ARGV[2], 'u' .. uid .. '\0' .. ARGV[2])
    end
    return 1
  end
end
