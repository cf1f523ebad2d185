-- Ends a hold that has run out. Of how many did, the next server that ticks is
-- told.
local function runOut(k, h)
  release(k, h, 'expired')
  call('INCR', P .. 'expired')
  call('PEXPIRE', P .. 'expired', 60000)
end

-- Ends holds that have run out, at most so many, the longest ago first, and
-- takes waiters of dead servers out of the line. Says how many that were.
local function sweep(most)
  local done = 0
  for _, ages in ipairs({'young', 'old'}) do
    for _, member in ipairs(call('ZRANGEBYSCORE', P .. ages, '-inf', now, 'LIMIT', 0, most)) do
      local name, uid = member:match('^(%Z*)%z(.*)$')
      local k = key(name)
      local h = hold(k, uid)
      if h then
        runOut(k, h)
      else
        call('ZREM', P .. ages, member)
      end
      done = done + 1
    end
  end
  if done > 0 then settle() end
  local dead = call('ZRANGEBYSCORE', P .. 'servers', '-inf', now, 'LIMIT', 0, 4)
  if #dead > 0 and call('EXISTS', P .. 'heard') == 0 then dead = {} end
  for _, server in ipairs(dead) do
    local places = call('SRANDMEMBER', P .. 's:' .. server, most)
    for _, place in ipairs(places) do
      local w = waiter(place)
      if w then part(w, server) else call('SREM', P .. 's:' .. server, place) end
      done = done + 1
    end
    if #places < most then call('ZREM', P .. 'servers', server) end
    settle()
  end
  return done
end

-- In how many ms the next hold ends, or -1.
local function nextEnd()
  local first = math.huge
  for _, ages in ipairs({'young', 'old'}) do
    local ends = call('ZRANGE', P .. ages, 0, 0, 'WITHSCORES')[2]
    if ends then first = math.min(first, tonumber(ends)) end
  end
  return first < math.huge and math.max(0, math.ceil((first - now) / 1000)) or -1
end

-- A sign of life of a server; it counts as dead so many ms later.
local function beat(server, dead)
  call('ZADD', P .. 'servers', now + dead * 1000, server)
end

-- Ends what has run out, and on these keys for sure.
local function tidy(names)
  sweep(64)
  for _, name in ipairs(names) do
    local k = key(name)
    if k.n > 0 and (not k.shared or k.n <= FEW) then
      for _, h in ipairs(holders(k)) do
        if h.deadline <= now then runOut(k, h) end
      end
    end
  end
  settle()
end
