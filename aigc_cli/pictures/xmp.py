"""The XMP packet of a picture: that a model drew it, as IPTC has a word for, and in formats without text chunks its recipe.

ISO 16684-1; digitalSourceType: IPTC Photo Metadata Standard, section 10.
"""

from __future__ import annotations

from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
BASIC = "http://ns.adobe.com/xap/1.0/"
OURS = "urn:aigc:recipe:1/"
PACKET = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="{rdf}">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{iptc}" xmlns:xmp="{basic}" xmlns:aigc="{ours}"
 Iptc4xmpExt:DigitalSourceType={source_type} xmp:CreatorTool={tool}{recipe}/>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def xmp_packet(tool: str, recipe: str = "") -> str:
    """tool: the program and its version.  recipe: JSON in ASCII, for XML has no place for some characters."""
    return PACKET.format(
        rdf=RDF,
        iptc=IPTC,
        basic=BASIC,
        ours=OURS,
        source_type=quoteattr(DIGITAL_SOURCE_TYPE),
        tool=quoteattr(tool),
        recipe=f"\n aigc:recipe={quoteattr(recipe)}" if recipe else "",
    )


def recipe_in(packet: bytes) -> str | None:
    """The recipe's JSON; None where the packet has none or cannot be read. As an attribute or, as exiftool writes it, an element."""
    if b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:  # no XMP has them, and an entity can grow without end
        return None
    try:
        root = ElementTree.fromstring(packet.rstrip(b"\x00 "))
    except ElementTree.ParseError:
        return None
    name = f"{{{OURS}}}recipe"
    for description in root.iter(f"{{{RDF}}}Description"):
        if found := description.get(name) or description.findtext(name):
            return found
    return None
