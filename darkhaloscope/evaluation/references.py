"""What each bibliographic reference of a lens catalogue stands for.

A reference decides how an object was discovered and, for searches of clusters
or lensed quasars, what kind of object it is. The label in a compilation does
not: lenscat calls thousands of clusters "galaxy". A reference that is not
listed here is refused, so a new catalogue version cannot bring in objects of
unknown origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Discovery(StrEnum):
    """How an object was first selected; tiers and recall are split by it."""

    IMAGING = "imaging"
    NETWORK = "network"
    SPECTROSCOPIC = "spectroscopic"
    SPACE = "space"


GROUND_IMAGING = (Discovery.IMAGING, Discovery.NETWORK)
"""Found in ground-based images, by eye or algorithm, or by a trained network."""


@dataclass(frozen=True)
class Reference:
    """One reference.

    Parameters
    ----------
    key : str
        Text that identifies it inside a catalogue's reference field.
    discovery : Discovery or None
        None where the reference compiles other searches.
    object_class : str or None
        Class of every object in it, where the reference decides it.
    """

    key: str
    discovery: Discovery | None
    object_class: str | None = None


_CLUSTER_SEARCHES = (
    "10.1086/423038",  # Lopes 2004, NoSOCS
    "astro-ph/0106055",  # Gonzalez 2001, LCDCS
    "10.1086/191426",  # Gioia 1990, EMSS
    "astro-ph/0405546",  # Boehringer 2004, REFLEX
    "astro-ph/0003219",  # Boehringer 2000, NORAS
    "0411075",  # Gladders 2005, RCS
    "astro-ph/9812394",  # Ebeling 1998, BCS
    "astro-ph/0003191",  # Ebeling 2000, eBCS
    "astro-ph/0609815",  # Olsen 2006, CFHTLS clusters
    "astro-ph/0502528",  # Sand 2005, arcs in HST clusters
    "astro-ph/0403354",  # Popesso 2004, RASS-SDSS
    "1002.2226",  # Menanteau 2010, SCS
    "1108.0494",  # Wen 2011, arcs in SDSS clusters
    "1210.4136",  # Furlanetto 2012, SOAR arc survey
    "astro-ph/0610061",  # Hennawi 2006, SDSS cluster arcs
    "relics.stsci.edu",
    "postman/CLASH",
    "1538-4365/ab5f13",  # Sharon 2020, SGAS
    "astro-ph/0310009",  # Cypriano 2004
    "1001.3521",  # Kausch 2010
    "astro-ph/0608624",  # van Breukelen 2006
    "0911.3302",  # Richard 2010, LoCuSS
    "astro-ph/0607170",  # Pierre 2006, XMM-LSS
    "MUSE_data_release",
    "1004.0093",  # Schwope 2010
)
_QUASAR_SEARCHES = (
    "lensedquasars",
    "1911.02587",  # Chan 2020, SuGOHI IV, lensed quasars
)
_NETWORK = (
    "2206.02764",  # Storfer 2022, DESI Legacy Surveys
    "1812.03168",  # Petrillo 2018, LinKS
    "2005.04730",  # Huang 2021
    "1906.00970",  # Huang 2020
    "2110.00023",  # Stein 2021
    "2312.07333",  # Jaelani 2023, SuGOHI X
    "2210.10802",  # Zaborowski 2022, DELVE
    "ab26b6",  # Jacobs 2019, DES
    "1811.03786",  # Jacobs 2018, DES
    "2004.13048",  # Canameras 2020, Pan-STARRS
    "2107.07829",  # Canameras 2021, HSC
    "2201.11135",  # Shu 2022, HSC
    "2109.00014",  # Rojas 2021, DES
    "2110.11972",  # Savary 2021, CFIS
    "2110.01905",  # Li 2021, KiDS
    "2205.05307",  # Tran 2022, AGEL: spectra of network candidates
)
_IMAGING = (
    "2002.01611",  # Jaelani 2020, SuGOHI V
    "2004.00634",  # Sonnenfeld 2020, SuGOHI VI
    "2203.12805",  # Wong 2022, SuGOHI VIII
    "1704.01585",  # Sonnenfeld 2018, SuGOHI I
    "1809.07341",  # Wong 2018, SuGOHI II
    "0004-637X/785/2/144",  # Gavazzi 2014, RingFinder
    "1403.1041",  # Gavazzi 2014, RingFinder
    "3847/1538-4365/aa8667",  # Diehl 2017, DES bright arcs
    "2110.02418",  # O'Donnell 2021, DES bright arcs
    "1911.02162",  # Nord 2019, DES
    "1109.1821",  # More 2011, SARCS
    "1504.05587",  # More 2015, Space Warps CFHTLS
    "1503.05824",  # Geach 2016, Space Warps VICS82
    "1302.2663",  # Stark 2013, CASSOWARY
    "0610362",  # Cabanac 2006, SL2S
    "1307.4759",  # Sonnenfeld 2013, SL2S
    "1307.4764",  # Sonnenfeld 2013, SL2S
    "1001.4336",  # Sygnet 2010, SL2S edge-on lenses
    "2014RMxAC..44",  # Moraes 2014, CS82
    "0812.3934",  # Kubo 2008, SDSS bright arcs
    "0910.4600",  # Diehl 2009, SDSS bright arcs
    "1010.3037",  # Kubo 2010, SDSS bright arcs
    "0809.4475",  # Lin 2008, SDSS bright arcs
    "0611138",  # Allam 2006, the 8 o'clock arc
    "J/A+A/668/A73",  # Rojas 2022, rings found in DES images
    "J/MNRAS/526/4768",  # Walmsley 2023, Galaxy Zoo DESI
)
_SPECTROSCOPIC = (
    "2007.09006",  # Talbot 2020, SILO
    "2206.09902",  # Talbot 2022, SILO
    "1803.03604",  # Talbot 2018, MaNGA
    "0805.1931",  # Bolton 2008, SLACS V
    "0911.2471",  # Auger 2009, SLACS X
    "1112.3683",  # Brownstein 2012, BELLS
    "1604.01842",  # Shu 2016, BELLS IV
    "2019yCat..18510048S",  # Shu 2017, SLACS XIII (S4TM)
    "1503.04813",  # Holwerda 2015, GAMA blended spectra
    "1104.5663",  # Treu 2011, SWELLS
    "0810.0780",  # Feron 2009, SDSS disc lenses
)
_SPACE = (
    "1538-4357/aaae6a",  # Pourrahmani 2018, HST COSMOS
    "1206.3412",  # Pawase 2014, HST archive
    "0802.2174",  # Faure 2008, HST COSMOS
    "1611.03922",  # Negrello 2017, Herschel
    "1801.07282",  # Amvrosiadis 2018, Herschel and ALMA
)
_COMPILATIONS = (
    "2012hst..prop12833M",  # Moustakas 2012, the Master Lens Database
    "1509.07649",  # Cao 2015, cosmology sample
    "1805.08640",  # Leaf 2018, cosmology sample
    "tt/LSD",
)

REFERENCES: tuple[Reference, ...] = (
    *(Reference(key, None, "cluster") for key in _CLUSTER_SEARCHES),
    *(Reference(key, None, "quasar") for key in _QUASAR_SEARCHES),
    *(Reference(key, Discovery.NETWORK) for key in _NETWORK),
    *(Reference(key, Discovery.IMAGING) for key in _IMAGING),
    *(Reference(key, Discovery.SPECTROSCOPIC) for key in _SPECTROSCOPIC),
    *(Reference(key, Discovery.SPACE) for key in _SPACE),
    *(Reference(key, None) for key in _COMPILATIONS),
)
"""Every reference that is known; the catalogue's text must contain ``key``."""

_BY_KEY = {reference.key: reference for reference in REFERENCES}


def find_references(text: str) -> list[Reference]:
    """Return the known references that a catalogue's reference field names, in table order.

    Parameters
    ----------
    text : str
        One field, with several references joined by `` | `` or blanks.
    """
    return [reference for key, reference in _BY_KEY.items() if key in text]
