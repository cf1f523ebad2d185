-- The state of a key: {key, {seven fields of each holder}, {five of each
-- waiter}}, times in ms.
local function show(k)
  local held, line = {}, {}
  for _, h in ipairs(holders(k)) do
    if h.deadline > now then
      local n = #held
      held[n + 1], held[n + 2], held[n + 3], held[n + 4] = h.uid, h.version, h.shared and 's' or 'x', h.limit
      held[n + 5], held[n + 6], held[n + 7] =
        math.floor((h.deadline - now) / 1000), math.max(0, math.floor((now - h.since) / 1000)), h.note
    end
  end
  if k.lined then
    walk(k.name, '+inf', function(s)
      local w, n = call('HMGET', P .. 'w:' .. s.place, 'since', 'note'), #line
      line[n + 1], line[n + 2], line[n + 3] = s.uid, s.shared and 's' or 'x', s.limit
      line[n + 4], line[n + 5] = math.max(0, math.floor((now - w[1]) / 1000)), w[2]
    end)
  end
  return {k.name, held, line}
end
