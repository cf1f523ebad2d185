package keeper

import (
	"context"

	"holdfast"
)

// starter is a service whose Lock comes in two parts.
type starter interface {
	StartLock(ctx context.Context, req holdfast.LockRequest) (
		_ holdfast.Grant, wait func(context.Context) (holdfast.Grant, error), _ error)
}

// Start is that part of a service's Lock in which nobody stands in line. If
// that comes next it gives wait, which gives the answer and must be called, with
// a ctx that may be another one. What a service without such a part does is all
// taken for waiting, if the request would.
func Start(ctx context.Context, service holdfast.Service, req holdfast.LockRequest) (
	_ holdfast.Grant, wait func(context.Context) (holdfast.Grant, error), _ error,
) {
	if s, ok := service.(starter); ok {
		return s.StartLock(ctx, req)
	}
	if req.Wait > 0 {
		return holdfast.Grant{}, func(ctx context.Context) (holdfast.Grant, error) { return service.Lock(ctx, req) }, nil
	}
	grant, err := service.Lock(ctx, req)
	return grant, nil, err
}
