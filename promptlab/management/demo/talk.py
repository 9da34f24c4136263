"""What the demo's customers ask, what they are answered, and what they think of it."""

from __future__ import annotations

from dataclasses import dataclass

COMPANY = "Bluepeak Outdoor"
NAMES = (
    "Lena", "Tom", "Priya", "Marco", "Sofia", "Jonas", "Aisha", "Pavel", "Grace", "Diego",
    "Mina", "Oskar", "Ines", "Hugo", "Yara", "Felix", "Noor", "Emil", "Rosa", "Kenji",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """A question with what the warm text and the text with steps make of it, and what is asked afterwards."""

    text: str
    warm: str
    steps: str
    follow_up: str


QUESTIONS = (
    Question(
        "Where is my parcel? It should have been here on Monday.",
        "I am sorry that your parcel keeps you waiting, that is annoying. I looked it up: it left our warehouse on "
        "time and is with the carrier. You find the newest status behind the tracking link in your confirmation "
        "mail. If it has not moved for two days, write to us again and we ask the carrier.",
        "1. Open the tracking link in your confirmation mail.\n2. Look at the newest entry.\n"
        "3. If it is older than two days, reply to this mail.\nWe then ask the carrier for you.",
        "The tracking link says nothing since Friday. What now?",
    ),
    Question(
        "The zip of my jacket broke after three weeks. Can I get a new one?",
        "What a pity, a zip should last much longer than that. Please send us two photos, one of the whole jacket "
        "and one of the zip. Our repair team looks at them and tells you within two working days how it goes on.",
        "1. Take a photo of the whole jacket and one of the zip.\n2. Reply to this mail with both.\n"
        "3. The repair team answers within two working days.\nWe will find a way.",
        "Do I have to send the jacket in?",
    ),
    Question(
        "I ordered size M but I need L. How do I change it?",
        "No problem at all, that happens to many of us. As long as your order has not been packed you can change the "
        "size yourself: open your order in your account and choose another size. If it is packed already, send it "
        "back for free and order the right one.",
        "1. Open your order in your account.\n2. Choose Change size, if it is offered.\n"
        "3. If not, send it back for free and order L.\nThe label is in the parcel.",
        "It says packed. How long does a return take?",
    ),
    Question(
        "My discount code does not work.",
        "I understand that this is annoying just before you pay. Codes work once, and not together with sale prices. "
        "Please check whether something in your basket is reduced. If not, send us the code and we have a look.",
        "1. Check that nothing in your basket is reduced.\n2. Type the code without spaces.\n"
        "3. If it still fails, reply with the code.\nWe check it at once.",
        "Nothing is reduced. The code is SUMMER10.",
    ),
    Question(
        "Is the Tarn tent waterproof enough for Scotland?",
        "A good question, Scotland is a hard test. The fly of the Tarn holds a water column of 3,000 mm and the floor "
        "5,000 mm, so a night of steady rain is fine. For several wet days in a row we recommend the footprint as "
        "well.",
        "1. The fly holds 3,000 mm, the floor 5,000 mm.\n2. That is fine for steady rain.\n"
        "3. For several wet days take the footprint, too.\nHave a good trip.",
        "Which footprint fits the three person tent?",
    ),
    Question(
        "I was charged twice for one order!",
        "I am sorry, that is a shock. Often one of the two entries is only a reservation, which disappears by itself "
        "within five days. Please send us the order number and the two amounts, and our billing team checks it today.",
        "1. Look whether one entry says reserved: it goes away within five days.\n2. If both are booked, reply with "
        "the order number.\n3. Billing checks it today.\nSorry for the scare.",
        "Both are booked. The number is 48213.",
    ),
    Question(
        "How do I wash a down sleeping bag?",
        "It is good that you ask before you start. Use a big front-loading machine, 30 degrees, special down soap "
        "and no softener. Rinse twice. Drying takes the longest: low heat, with two clean tennis balls, until no "
        "lumps are left.",
        "1. Front-loading machine, 30 degrees, down soap, no softener.\n2. Rinse twice.\n"
        "3. Dry at low heat with two tennis balls until no lumps are left.\nIt will be like new.",
        "And how often should I do that?",
    ),
    Question(
        "I forgot my password and get no mail.",
        "That is a nuisance, let us get you back in. Please look into your spam folder first, the mail comes from "
        "help@bluepeak.example. If it is not there, tell us which address you used to sign up and we send the link "
        "again.",
        "1. Look into the spam folder.\n2. Check the address you signed up with.\n"
        "3. Reply with it and we send a new link.\nYou are back in soon.",
        "It was in spam. Thank you!",
    ),
)

LIKED = (
    "Quick and clear.", "That solved it, thanks!", "Exactly what I needed.", "Very friendly.", "Nice and short.",
    "Good steps, worked at once.",
)  # fmt: skip
DISLIKED = (
    "Too long, I only wanted to know where my parcel is.", "Did not answer my question.",
    "I had done all that already.", "Sounds like a machine.", "Wrong size named.",
    "I still do not know when the money comes.",
)  # fmt: skip

GREETINGS = {
    1: "Hello and welcome to Bluepeak Outdoor. How can we help?",
    2: "Hello {name}, good to see you at Bluepeak Outdoor. How can we help?",
}
OPENERS = ("Hi", "Hello, is somebody there?", "Do you have gift cards?", "Good morning")
TICKETS = (
    ("My parcel is late.", '{"topic": "delivery", "urgency": "normal"}'),
    ("Somebody ordered with my account!", '{"topic": "account", "urgency": "high"}'),
    ("Can I return worn boots?", '{"topic": "return", "urgency": "low"}'),
    ("Please delete my account.", '{"topic": "account", "urgency": "normal"}'),
)
PRODUCTS = {
    "the rain jacket Fjell": (
        "A jacket of recycled nylon for days when the forecast is wrong. Its hood turns with your head.",
        "A jacket of recycled nylon. No facts were given about it.",
    ),
    "the boots Tarn": (
        "Leather boots with a stiff sole for paths that have ended. The tongue keeps small stones out.",
        "Leather boots with a sole. No facts were given about them.",
    ),
    "the sleeping bag Firn": (
        "A bag filled with down for clear nights above the trees. The zip runs both ways, so feet get air.",
        "A bag filled with down. No facts were given about it.",
    ),
}
"""What is written of a product with the live text, and with the one that was launched step by step and taken back."""
