-- count: {holds, waiters}. Neither is counted one by one.

return {
  call('ZCARD', P .. 'young') + call('ZCARD', P .. 'old'),
  tonumber(call('GET', P .. 'waiters') or 0),
}
