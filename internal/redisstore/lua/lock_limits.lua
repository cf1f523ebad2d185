-- Limits, as in limits.go of the lock table.

-- The holds of uid, and the keys that it waits for.
local function holdsOf(uid)
  repeat until age(1000) == 0
  local n = oldHolds(uid)
  for _, place in ipairs(waiting(uid)) do n = n + #waiter(place).asks end
  return n
end

-- The name of the limit that r would go beyond if it were granted or, with
-- wait, if it joined the line, and the uid or the key that it is of; nil if none.
local function tooMany(r, wait)
  if not limits then return nil end
  local more = 0
  for _, a in ipairs(r.asks) do
    if wait or not hold(key(a.key), r.uid) then more = more + 1 end
  end
  if more == 0 then return nil end
  if limits.holds > 0 and allHolds() + more > limits.holds then return 'holds', '' end
  if limits.ofUID > 0 and holdsOf(r.uid) + more > limits.ofUID then return 'holds of a uid', r.uid end
  if not wait then return nil end
  if limits.waitersOfUID > 0 and #waiting(r.uid) >= limits.waitersOfUID then return 'waiters of a uid', r.uid end
  for _, a in ipairs(r.asks) do
    if limits.waitersOfKey > 0 and call('ZCARD', P .. 'l:' .. a.key) >= limits.waitersOfKey then
      return 'waiters of a key', a.key
    end
  end
  return nil
end
