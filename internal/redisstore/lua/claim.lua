-- claim PLACE SERVER TICKET: the server takes a grant to its client. After
-- that nobody takes it back.
--
-- {"granted", ms left, version…}; {"waiting"} when it was not let in yet; or
-- {"gone"} when the server does not answer for such a request any more.

local function claim(w, server)
  local ends, versions = math.huge, {}
  for version in w.versions:gmatch('%d+') do
    versions[#versions + 1] = tonumber(version)
    local h = hold(key(w.asks[#versions].key), w.uid)
    ends = math.min(ends, h and h.version == versions[#versions] and h.deadline or now)
  end
  w.servers[server] = nil
  call('SREM', P .. 's:' .. server, w.place)
  if next(w.servers) then
    call('HDEL', P .. 'w:' .. w.place, '@' .. server)
    call('HSET', P .. 'w:' .. w.place, 'received', '1')
  else
    forget(w)
  end
  return {'granted', math.max(0, math.floor((ends - now) / 1000)), unpack(versions)}
end
