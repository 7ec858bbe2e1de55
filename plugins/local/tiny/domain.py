"""
What `junctor-tiny` knows: a closed set of Thai and English words, and sentences made of them.

Words that eSpeak pronounces alike are left out on purpose (no "to" beside "two", no "for" beside
"four", and its Thai reads the words for "water" and "this" as the same two letters): a model that
only hears cannot tell them apart.
"""

THAI: dict[str, str] = {
    "สวัสดี": "hello", "ครับ": "sir", "ค่ะ": "madam", "ขอบคุณ": "thanks", "ขอโทษ": "sorry",
    "ยินดี": "glad", "ผม": "i", "คุณ": "you", "เขา": "he", "เรา": "we", "แม่": "mother",
    "ครู": "teacher", "เพื่อน": "friend", "ลูกค้า": "customer", "พนักงาน": "clerk", "หมอ": "doctor",
    "ต้องการ": "want", "อยาก": "wish", "ชอบ": "like", "ช่วย": "help", "เปิด": "open", "ปิด": "close",
    "ซื้อ": "buy", "ขาย": "sell", "กิน": "eat", "ดื่ม": "drink", "ไป": "go", "มา": "come",
    "โทร": "call", "จอง": "reserve", "ยกเลิก": "cancel", "เปลี่ยน": "change", "ตรวจสอบ": "check",
    "ส่ง": "send", "รอ": "wait", "อ่าน": "read", "เขียน": "write", "พูด": "speak", "ฟัง": "listen",
    "ทำงาน": "work", "เรียน": "study", "ข้าว": "rice", "น้ำ": "water", "กาแฟ": "coffee",
    "ไก่": "chicken", "ปลา": "fish", "ผัก": "vegetable", "บ้าน": "house", "โรงแรม": "hotel",
    "โรงพยาบาล": "hospital", "ธนาคาร": "bank", "ตลาด": "market", "สนามบิน": "airport",
    "โรงเรียน": "school", "ร้าน": "shop", "ห้อง": "room", "รถไฟ": "train", "รถ": "car",
    "ตั๋ว": "ticket", "เงิน": "money", "บัญชี": "account", "บัตร": "card", "โทรศัพท์": "telephone",
    "อีเมล": "email", "ไฟ": "light", "ประตู": "door", "เพลง": "song", "หนังสือ": "book",
    "ข้อมูล": "data", "วันนี้": "today", "พรุ่งนี้": "tomorrow", "เมื่อวาน": "yesterday",
    "เช้า": "morning", "เย็น": "evening", "กลางคืน": "night", "เดือน": "month", "ปี": "year",
    "เวลา": "time", "นาที": "minute", "ชั่วโมง": "hour", "หนึ่ง": "one", "สอง": "two", "สาม": "three",
    "สี่": "four", "ห้า": "five", "หก": "six", "เจ็ด": "seven", "แปด": "eight", "เก้า": "nine",
    "สิบ": "ten", "ร้อย": "hundred", "พัน": "thousand", "บาท": "baht", "อากาศ": "weather",
    "ร้อน": "hot", "หนาว": "cold", "ดี": "good", "มาก": "very", "ใหม่": "new", "เดิม": "old",
    "ใหญ่": "big", "เล็ก": "small", "แพง": "expensive", "กรุงเทพ": "bangkok",
    "เชียงใหม่": "chiangmai", "ภูเก็ต": "phuket", "ภาษา": "language", "ไทย": "thai",
    "อังกฤษ": "english", "ไม่": "not", "และ": "and", "ที่": "at",
}  # fmt: skip
"""Thai word -> English gloss; the glosses, word for word, are what the task `translate` writes."""

THAI_SENTENCES: tuple[str, ...] = (
    "สวัสดี ครับ ยินดี ช่วย",
    "สวัสดี ค่ะ คุณ ครู",
    "ขอบคุณ มาก ครับ",
    "ขอบคุณ ค่ะ",
    "ขอโทษ ค่ะ ไม่ ดี",
    "วันนี้ อากาศ ดี",
    "วันนี้ ที่ กรุงเทพ ร้อน มาก",
    "พรุ่งนี้ เชียงใหม่ หนาว",
    "กลางคืน อากาศ เย็น",
    "เมื่อวาน อากาศ ไม่ ดี",
    "ผม ชอบ ดื่ม กาแฟ",
    "ผม อยาก กิน ปลา",
    "แม่ ชอบ กิน ผัก",
    "แม่ ไป ตลาด วันนี้ เช้า",
    "เรา กิน ข้าว ที่ บ้าน",
    "เพื่อน ดื่ม น้ำ เย็น",
    "ไก่ และ ข้าว ห้า สิบ บาท",
    "กาแฟ ร้อน สาม สิบ บาท",
    "ปลา ใหญ่ หนึ่ง ร้อย บาท",
    "รถ ใหม่ แพง มาก",
    "บ้าน เล็ก ไม่ แพง",
    "โทรศัพท์ เดิม ไม่ ดี",
    "เขา ขาย บ้าน และ รถ",
    "เรา ซื้อ โทรศัพท์ ใหม่",
    "ครู ซื้อ หนังสือ ภาษา อังกฤษ",
    "เพื่อน เขียน หนังสือ ภาษา ไทย",
    "คุณ พูด ภาษา ไทย ดี",
    "ผม เรียน ภาษา อังกฤษ ที่ โรงเรียน",
    "หมอ ทำงาน กลางคืน",
    "หมอ ไป โรงพยาบาล เช้า",
    "เขา ทำงาน ที่ สนามบิน",
    "พนักงาน ทำงาน แปด ชั่วโมง",
    "พนักงาน ช่วย ลูกค้า",
    "ลูกค้า รอ สิบ นาที",
    "ลูกค้า ยกเลิก ห้อง",
    "ลูกค้า ต้องการ ข้อมูล",
    "ผม ต้องการ เปิด บัญชี",
    "ผม ต้องการ ปิด บัญชี ธนาคาร",
    "ผม ต้องการ ยกเลิก บัตร",
    "ผม ต้องการ จอง ห้อง ใหญ่",
    "เรา จอง โรงแรม ที่ ภูเก็ต",
    "เรา จอง รถไฟ ไป เชียงใหม่",
    "เพื่อน มา กรุงเทพ พรุ่งนี้",
    "ตั๋ว รถไฟ สอง ร้อย บาท",
    "ตั๋ว หก ร้อย บาท ครับ",
    "ส่ง เงิน สี่ พัน บาท",
    "ส่ง อีเมล และ รอ",
    "ส่ง ข้อมูล ใหม่ พรุ่งนี้",
    "ตรวจสอบ บัตร และ บัญชี",
    "ตรวจสอบ เวลา รถไฟ",
    "เปลี่ยน ตั๋ว วันนี้ ค่ะ",
    "เปลี่ยน เวลา ไป เย็น",
    "โทร ไป ธนาคาร พรุ่งนี้ เช้า",
    "โทร ไป ร้าน กาแฟ",
    "ช่วย เปิด ไฟ ครับ",
    "ช่วย ปิด ไฟ ครับ",
    "ช่วย เปิด ประตู บ้าน",
    "ปิด ประตู ห้อง ค่ะ",
    "เปิด เพลง ใหม่",
    "ผม ฟัง เพลง ที่ บ้าน",
    "อ่าน หนังสือ หนึ่ง ชั่วโมง",
    "อ่าน อีเมล เมื่อวาน",
    "รอ ที่ ร้าน ห้า นาที",
    "รอ เก้า เดือน",
    "เจ็ด ปี และ สาม เดือน",
    "ปี ใหม่ ขาย ดี มาก",
    "เดือน หก เงิน ไม่ มาก",
    "หนึ่ง สอง สาม สี่ ห้า",
    "หก เจ็ด แปด เก้า สิบ",
    "ตลาด เล็ก ขาย ผัก",
    "สนามบิน ใหม่ ใหญ่ มาก",
    "คุณ อยาก ไป ภูเก็ต",
)
"""Sentences rendered in training, words apart as eSpeak is given them."""

THAI_HELD_OUT: tuple[str, ...] = (
    "แม่ และ ครู รอ ที่ สนามบิน",
    "ผม อยาก ซื้อ บ้าน ที่ เชียงใหม่",
    "ช่วย โทร ไป โรงพยาบาล ครับ",
    "ลูกค้า เปลี่ยน บัตร ใหม่ วันนี้",
    "พนักงาน ส่ง ตั๋ว ไป โรงแรม",
    "หมอ ไม่ ดื่ม กาแฟ กลางคืน",
    "เขา อ่าน ข้อมูล ภาษา ไทย",
    "เรา ขาย โทรศัพท์ เก้า พัน บาท",
    "ปิด เพลง และ เปิด ประตู",
    "เพื่อน เรียน ที่ กรุงเทพ สี่ ปี",
    "ตรวจสอบ เงิน และ เวลา ค่ะ",
    "พรุ่งนี้ เช้า อากาศ ร้อน",
    "รถไฟ ไป ภูเก็ต แพง มาก",
    "คุณ ฟัง และ เขียน อีเมล",
    "ยกเลิก โรงแรม เมื่อวาน ครับ",
    "ปลา เล็ก เจ็ด สิบ บาท",
    "ขอโทษ ครับ ผม ไม่ พูด อังกฤษ",
    "จอง รถ หก ชั่วโมง",
)
"""Sentences of known words that are never rendered in training."""

ENGLISH_SENTENCES: tuple[str, ...] = (
    "hello this is the bank",
    "good morning how are you",
    "good night and goodbye",
    "thank you very much",
    "please open the door",
    "please close the window",
    "turn on the light",
    "turn off the music please",
    "i want a cup of hot coffee",
    "i need a doctor now",
    "where is the train station",
    "where is my ticket",
    "the hotel is near the airport",
    "we have three big rooms",
    "my phone number is nine one five",
    "press one and wait please",
    "press two and speak english",
    "cancel the order today",
    "send me the report again",
    "call my mother tomorrow morning",
    "what time is it",
    "how much is the red car",
    "the weather is cold tonight",
    "it is very hot today",
    "play some music please",
    "stop the car here",
    "the price is six hundred",
    "i have a problem with my account",
    "check the email again",
    "yes that is good",
    "no thank you",
    "please wait ten minutes",
    "we want four tickets",
    "seven people are in the room",
    "turn left at the blue house",
    "can you help me",
    "eight people wait at the hospital",
    "you speak english very fast",
)
"""Sentences rendered in training."""

ENGLISH_HELD_OUT: tuple[str, ...] = (
    "my mother is at the airport",
    "please call the doctor tonight",
    "i need hot water now",
    "send me nine tickets",
    "where is the red phone",
    "cancel my bank account today",
    "the room number is four two",
    "it is cold near the station",
    "turn off the phone please",
    "how much is the green car",
)
"""Sentences of known words that are never rendered in training."""

_ENGLISH_MORE = ("new", "old", "small", "city", "name", "start")


def words_of(sentences: tuple[str, ...]) -> list[str]:
    """Return the different words of `sentences`, sorted."""
    return sorted({word for sentence in sentences for word in sentence.split()})


ENGLISH: tuple[str, ...] = tuple(
    sorted({*words_of(ENGLISH_SENTENCES), *words_of(ENGLISH_HELD_OUT), *_ENGLISH_MORE})
)
"""The English words it hears."""

GLOSSES: tuple[str, ...] = tuple(sorted(set(THAI.values())))
"""The English words it writes when it translates Thai."""


def vocabulary(language: str) -> tuple[str, ...]:
    """Return the words of `language` (``th`` or ``en``) that can be heard."""
    return tuple(THAI) if language == "th" else ENGLISH


def sentences(language: str) -> tuple[str, ...]:
    """Return the sentences of `language` (``th`` or ``en``) rendered in training."""
    return THAI_SENTENCES if language == "th" else ENGLISH_SENTENCES


def held_out(language: str) -> tuple[str, ...]:
    """Return the sentences of `language` (``th`` or ``en``) never rendered in training."""
    return THAI_HELD_OUT if language == "th" else ENGLISH_HELD_OUT
