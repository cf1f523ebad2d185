-- mine SERVER: all that the server answers for: ticket, place and "1" if it
-- was let in, of each.

local answer = {}
for _, place in ipairs(call('SMEMBERS', P .. 's:' .. ARGV[1])) do
  local got = call('HMGET', P .. 'w:' .. place, '@' .. ARGV[1], 'granted')
  if got[1] then
    local n = #answer
    answer[n + 1], answer[n + 2], answer[n + 3] = got[1], place, got[2] and '1' or '0'
  else
    call('SREM', P .. 's:' .. ARGV[1], place)
  end
end
return answer
