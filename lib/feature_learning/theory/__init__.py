"""No chains: quadrature, fixed points, closed forms."""
