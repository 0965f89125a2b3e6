"""What subscribers of channels receive: order, filters, routes, times."""
