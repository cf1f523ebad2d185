-- claim PLACE SERVER TICKET: the server takes a grant to its client. After
-- that nobody else takes it back.
--
-- {"granted", ms left, version…, fresh, (key, record)…}: the version of what is new,
-- or 0 if that is nothing, or other servers hear of it, too; and what upgrades
-- have replaced. {"waiting"} when it was not let in yet; or
-- {"gone"} when the server does not answer for such a request any more, or what
-- it was granted has run out since.

local function claim(w, server)
  local ends, versions, lives = math.huge, {}, false
  for version in w.versions:gmatch('%d+') do
    versions[#versions + 1] = tonumber(version)
    local h = hold(key(w.asks[#versions].key), w.uid)
    local deadline = h and h.version == versions[#versions] and h.deadline or now
    lives = lives or deadline > now
    ends = math.min(ends, deadline)
  end
  w.servers[server] = nil
  local alone = not w.received and not next(w.servers)
  call('SREM', P .. 's:' .. server, w.place)
  if next(w.servers) then
    call('HDEL', P .. 'w:' .. w.place, '@' .. server)
    call('HSET', P .. 'w:' .. w.place, 'received', '1')
  else
    forget(w)
  end
  if not lives and now >= tonumber(w.ending or 0) then return {'gone'} end
  return granted(math.max(0, math.floor((ends - now) / 1000)), versions, alone and w.granted or '0', w.prior)
end
