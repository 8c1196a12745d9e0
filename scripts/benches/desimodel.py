#!/usr/bin/env python
"""Makes the part of $DESIMODEL that desi_compute_fluxcalibration reads, of what desi_simulate assumes and not of the survey's data:

    desimodel.py DIR     writes DIR/data/throughput/galsim-fiber-acceptance.fits and DIR/data/focalplane/platescale.txt

A fibre of 107 micrometres, the same plate scale over the whole field, images that are Gaussian; galaxies (which the
calibration does not use) as points.
"""

import os
import sys

import numpy as np
from astropy.io import fits
from scipy.special import i0e

FIBER_DIAMETER = 107.0  # micrometres
PLATE_SCALE = 70.4  # micrometres per arcsec


def share(sigma, offset):
    """Share of a Gaussian of width sigma that falls on the fibre at a distance: the integral of the Rice distribution."""
    r = (np.arange(2000) + 0.5) * 0.5 * FIBER_DIAMETER / 2000
    density = r / sigma**2 * np.exp(-0.5 * ((r - offset) / sigma) ** 2) * i0e(r * offset / sigma**2)
    return density.sum() * (r[1] - r[0])


def main(folder):
    sigma = np.linspace(10.0, 90.0, 41)
    offset = np.linspace(0.0, 200.0, 81)
    radius = np.linspace(0.3, 2.0, 5)
    point = np.array([[share(s, d) for d in offset] for s in sigma])
    extended = np.repeat(point[None], radius.size, axis=0)
    planes = {"SIGMA": sigma, "OFFSET": offset, "HLRAD": radius, "POINT": point, "DISK": extended, "BULGE": extended}
    planes.update({name[0] + "RMS": 0.0 * planes[name] for name in ("POINT", "DISK", "BULGE")})
    for name in ("throughput", "focalplane"):
        os.makedirs(os.path.join(folder, "data", name), exist_ok=True)
    hdus = [fits.PrimaryHDU()] + [fits.ImageHDU(data.astype(">f4"), name=name) for name, data in planes.items()]
    fits.HDUList(hdus).writeto(os.path.join(folder, "data/throughput/galsim-fiber-acceptance.fits"), overwrite=True)
    # columns: radius (mm), angle (deg), four that nobody reads, radial and azimuthal scale, arc length
    rows = [(r, r / PLATE_SCALE / 3.6, 0, 0, 0, 0, PLATE_SCALE, PLATE_SCALE, r) for r in np.linspace(0.0, 420.0, 43)]
    np.savetxt(os.path.join(folder, "data/focalplane/platescale.txt"), rows, fmt="%.6f")


if __name__ == "__main__":
    main(sys.argv[1])
