-- Rule 8, as in deadlock.go of the lock table.

-- Gives the shortest circle of owners that r would close by waiting, as uid
-- and key in turn; nil if there is none.
local function circle(r)
  if not wanted(r.uid) then return nil end

  -- An owner's requests; what r asks is one of its owner's.
  local function requests(uid)
    local all = {}
    for i, place in ipairs(waiting(uid)) do all[i] = waiter(place) end
    if uid == r.uid then all[#all + 1] = r end
    return all
  end
  local function eachHolder(q, yield)
    for _, a in ipairs(q.asks) do
      local k = key(a.key)
      if not covered(q.uid, k, a) and holdersInTheWay(q.uid, k, a, function(h) return yield(h, a) end) then
        return true
      end
    end
    return false
  end

  -- Whom r waits for, directly or through others' holds …
  local stuck, order = {[r.uid] = true}, {r.uid}
  local i = 1
  while order[i] do
    for _, q in ipairs(requests(order[i])) do
      eachHolder(q, function(h)
        if not stuck[h.uid] then
          stuck[h.uid] = true
          order[#order + 1] = h.uid
        end
      end)
    end
    i = i + 1
  end

  -- Whether q would have no holder in its way if all but the stuck gave back
  -- what they hold.
  local function clear(q)
    for _, a in ipairs(q.asks) do
      local k = key(a.key)
      if not covered(q.uid, k, a) then
        local sharing = 0
        if eachHold(k, function(h)
          if h.uid == q.uid or not stuck[h.uid] then return false end
          sharing = sharing + 1
          return not (a.shared and h.shared and (a.limit == 0 or sharing < a.limit))
        end) then return false end
      end
    end
    return true
  end

  -- … without those that can go on once the others that can have given back
  -- what they hold. From the far end, where those are who wait for nobody; then from
  -- the near one, and so on: a long chain may run either way.
  local changed, from, to, by = true, #order, 1, -1
  while changed do
    changed = false
    for n = from, to, by do
      local uid = order[n]
      if stuck[uid] then
        local free = true
        for _, q in ipairs(requests(uid)) do free = free and clear(q) end
        if free then
          stuck[uid] = nil
          changed = true
        end
      end
    end
    from, to, by = to, from, -by
  end
  if clear(r) then return nil end

  -- Breadth first from r back to its owner, over those who are stuck.
  local steps, met = {{uid = r.uid}}, {}
  local at = 1
  while steps[at] do
    local step = steps[at]
    for _, q in ipairs(at == 1 and {r} or requests(step.uid)) do
      local back = eachHolder(q, function(h, a)
        if not stuck[h.uid] or met[h.uid] then return false end
        met[h.uid] = true
        steps[#steps + 1] = {uid = h.uid, from = at, key = a.key} -- from waits for key
        return h.uid == r.uid
      end)
      if back then
        local cycle, n = {}, #steps
        while steps[n].from do
          table.insert(cycle, 1, steps[n].key)
          n = steps[n].from
          table.insert(cycle, 1, steps[n].uid)
        end
        return cycle
      end
    end
    at = at + 1
  end
  return nil
end
