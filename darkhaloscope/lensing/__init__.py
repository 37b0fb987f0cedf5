"""Lensing: pure physics on arrays.

What belongs here: the geometry of stamps, deflection by an isothermal ellipsoid
with shear and by other masses, critical curves, the PSF, the renderers that put a
lensed source on survey pixels, its noise, signal-to-noise estimators, and the
lenstronomy oracle that grades the renderers. What does not: drawing parameters,
reading files, and rows of tables.

Conventions of the whole room: lengths on the sky are arcsec, x along array
columns, y along rows, angles from +x towards +y; the origin is the geometric
centre of the stamp, pixel coordinate ((size - 1) / 2, (size - 1) / 2); fluxes
are nanomaggies.
"""
